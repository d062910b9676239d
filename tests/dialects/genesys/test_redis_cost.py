"""Tests the cost of requests: few commands, none that blocks Redis for long, and little memory in worker and Redis."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import pytest
from aiohttp import ClientSession

from tests.dialects.genesys.client import Client, at, multipart
from tests.memory import MEBIBYTE, resident_of_worker
from tests.running import Running
from tests.sent_commands import sent_commands
from tests.slow_commands import slow_commands


@pytest.fixture(scope="module")
def idle() -> Iterator[Running]:
    """A service that no other test uses."""
    with Running(read_cache_bytes=0) as running:
        yield running.wait_ready()


@pytest.fixture
async def alone(idle: Running, http: ClientSession) -> Client:
    gms = Client(http, idle)
    await gms.create()  # afterwards, everything that is looked up only once is cached
    return gms


async def test_common_requests_are_one_command(alone: Client) -> None:
    id = await alone.create(("a", "1"), ("b", "2"))
    for target in (at(id), at(id, "a"), at(id, "none")):
        with sent_commands(alone.running, "{genesys:") as sent:
            await alone.ask("GET", target)
        assert sent == ["FCALL"], target
    with sent_commands(alone.running, "{genesys:") as sent:
        await alone.create(("a", "1"))
    assert sent == ["FCALL"]
    with sent_commands(alone.running, "{genesys:") as sent:
        await alone.post(id, "60")
    assert sent == ["FCALL", "FCALL"]
    with sent_commands(alone.running, "{genesys:") as sent:
        await alone.ask("DELETE", at(id))
    assert sent == ["FCALL"]
    mine = Client(alone.http, alone.running, "me")
    for _ in range(2):
        with sent_commands(alone.running, "{genesys:") as sent:
            await mine.post("custom", "an id", "60")
        assert sent == ["FCALL"]


async def test_a_file_is_stored_with_a_command_for_each_chunk_and_read_in_pieces_of_128_kib(alone: Client) -> None:
    with sent_commands(alone.running, "{genesys:") as sent:
        id = await alone.create(("a", ("a", "", b"x" * MEBIBYTE)))
    assert sent == ["SET"] * 4 + ["FCALL"]
    with sent_commands(alone.running, "{genesys:") as sent:
        await alone.get("binary", id, "a")
    assert sent == ["FCALL"] + ["GETRANGE"] * 9  # each reads at most 128 KiB; the last chunk is long and needs three


async def test_the_largest_requests_hold_redis_only_for_milliseconds(alone: Client) -> None:
    many = multipart(*((f"k{n}", ("a", "", b"x" * 100_000)) for n in range(1000)))
    half = multipart(*((f"k{n}", ("a", "", b"q" * 262_145)) for n in range(0, 380)))
    names = multipart(*(("é" * 250 + str(n), "x" * 100) for n in range(1000)))
    headers = {"Content_Type": "multipart/form-data; boundary=----a-boundary"}

    async def act() -> None:
        reply = await alone.ask("POST", at("600"), many, **headers)
        id = reply.json["id"]
        assert len(await alone.all(id)) == 1000
        assert (await alone.post(id, "600", fields=(("k999", "1"),))).json == {}
        assert (await alone.ask("DELETE", at(id))).json == {}
        id = (await alone.ask("POST", at("600"), half, **headers)).json["id"]
        assert (await alone.ask("POST", at(id, "600"), half.replace(b"q", b"z"), **headers)).json == {}
        id = (await alone.ask("POST", at("600"), names, **headers)).json["id"]
        assert len(await alone.all(id)) == 1000

    with alone.running.redis as client:
        assert await slow_commands(client.execute_command, act) == []


async def test_eight_files_at_once_take_little_memory(alone: Client) -> None:
    content = os.urandom(8 * MEBIBYTE)
    fields = multipart(("file", ("a", "", content)))
    most, before = [0], resident_of_worker(alone.running)

    async def watch() -> None:
        while True:
            most[0] = max(most[0], resident_of_worker(alone.running))
            await asyncio.sleep(0.005)

    async def slowly() -> AsyncIterator[bytes]:
        for start in range(0, len(fields), 65_536):
            yield fields[start : start + 65_536]
            await asyncio.sleep(0.0005)

    async def there_and_back(http: ClientSession) -> None:
        headers = {"Content-Type": "multipart/form-data; boundary=----a-boundary"}
        async with http.post(alone.running.url + at("60"), data=slowly(), headers=headers) as answer:
            id = (await answer.json())["id"]
        body = bytearray()
        async with http.get(alone.running.url + at("binary", id, "file")) as answer:
            async for piece in answer.content.iter_chunked(65_536):
                body += piece
                await asyncio.sleep(0.0005)
        assert body == content

    watching = asyncio.create_task(watch())
    async with ClientSession(read_bufsize=65_536) as http:
        await asyncio.gather(*(there_and_back(http) for _ in range(8)))
    watching.cancel()
    assert most[0] - before < 120 * MEBIBYTE
