"""Tests that cached answers become invalid when their slot moves or their primary is replaced."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import pytest

from service.redis.pending import Command
from service.redis.topology import slot
from service.redis.tracking import Dependent, Tracker, probe
from service.redis.wire import pack
from tests.fast_path.cached_reads import DOCUMENT, Client, hits, kept, started
from tests.redis_cluster import RedisCluster
from tests.redis_sentinel import SentinelSet
from tests.running import soon
from tests.topologies.conftest import Open

ABSENT = "{moving}absent"


class Reader:
    """Waits for barriers with an entry that depends on a missing key."""

    def __init__(self, tracker: Tracker) -> None:
        self.held = Dependent(tracker, [], (probe(ABSENT),), 0, True)
        self.told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def confirmed(self, clock: int, seconds: float, now: float) -> None:
        self.told.set_result(self.held.good and now <= perf_counter())

    def unconfirmed(self) -> None:
        self.told.set_result(False)

    async def good(self) -> bool:
        self.told = asyncio.get_running_loop().create_future()
        self.held.tracker.wait(self)
        return await self.told


async def reading(tracker: Tracker) -> Reader:
    reader, read = Reader(tracker), asyncio.get_running_loop().create_future()
    tracker.read(Command(read, pack(("GET", ABSENT)), False, key=ABSENT), read)
    assert await read is None
    tracker.link(reader.held, [ABSENT])
    return reader


@pytest.mark.parametrize("key", ["{tag}k", "polystow:links:d:k:id", b"polystow:epoch"])
def test_a_probe_asks_for_the_slot_of_its_key(key: str | bytes) -> None:
    text = key if isinstance(key, str) else key.decode()
    asked = probe(key).split(b"\r\n")[-2].decode()
    assert slot(asked) == slot(text)
    assert asked != text


async def test_answers_about_a_missing_key_are_invalid_once_its_slot_begins_to_move(
    cluster: RedisCluster, client_of: Open
) -> None:
    """The key may be created on the target of the move, and the source is not informed."""
    redis = await client_of(cluster.url, tracking=True)
    number = slot(ABSENT)
    source = next(node for node in cluster.primaries if number in cluster.slots(node))
    target = next(node for node in cluster.primaries if node is not source)
    tracker = redis.tracker(ABSENT)
    reader = await reading(tracker)
    assert await reader.good()
    cluster.begin_move(source, target, number)
    try:
        assert not await reader.good()
        assert not reader.held.good
    finally:
        cluster.end_move(source, target, number)
        cluster.agree()
    reader = Reader(tracker)
    assert not await reader.good()


async def test_a_document_is_read_from_memory_while_its_slot_moves_back_and_forth(cluster: RedisCluster) -> None:
    app, other = await started(cluster.url), await started(cluster.url)
    reader, writer = Client(app), Client(other)
    try:
        await writer.ask("PUT", DOCUMENT, b'{"n":0}')
        number, at = slot("{ainoflow:p:c}"), 1
        for _ in range(3):
            await kept(reader)
            before = hits(app)
            assert json.loads((await reader.ask("GET", DOCUMENT))[1]) == {"n": at - 1}
            assert hits(app) > before
            source = next(node for node in cluster.primaries if number in cluster.slots(node))
            target = next(node for node in cluster.primaries if node is not source)
            cluster.begin_move(source, target, number)
            assert json.loads((await reader.ask("GET", DOCUMENT))[1]) == {"n": at - 1}  # the slot is at two nodes
            await asyncio.to_thread(cluster.end_move, source, target, number)

            async def written(body: bytes = b'{"n":%d}' % at) -> bool:
                return (await writer.ask("PUT", DOCUMENT, body))[0] == 200

            await soon(written)
            assert json.loads((await reader.ask("GET", DOCUMENT))[1]) == {"n": at}
            await asyncio.to_thread(cluster.agree)
            at += 1
    finally:
        await app.close()
        await other.close()


@pytest.fixture(scope="module")
def watched(newest: Path) -> Iterator[SentinelSet]:
    with SentinelSet(newest) as running:
        yield running


async def test_answers_of_a_replaced_primary_are_dropped(watched: SentinelSet) -> None:
    app, other = await started(watched.url), await started(watched.url)
    reader, writer = Client(app), Client(other)
    try:
        await writer.ask("PUT", DOCUMENT, b'{"n":0}')
        await kept(reader)
        victim = watched.primary
        await asyncio.to_thread(victim.kill)

        async def written() -> bool:
            return (await writer.ask("PUT", DOCUMENT, b'{"n":1}'))[0] == 200

        await soon(written)

        async def read() -> bool:
            status, body = await reader.ask("GET", DOCUMENT)
            assert status != 200 or body == b'{"n":1}'
            return status == 200

        await soon(read)
        await kept(reader)
    finally:
        await app.close()
        await other.close()
