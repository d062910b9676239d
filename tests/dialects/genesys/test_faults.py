"""Tests that interrupted requests store nothing partially: clients that disconnect, a Redis that is killed, races."""

import asyncio
from collections.abc import Callable

from aiohttp import ClientError, ClientSession

from tests.dialects.genesys.client import MULTIPART, Client, Reply, areas, at, multipart
from tests.running import Running, polystow, soon

LARGE = bytes(range(256)) * 16_384  # 4 MiB


async def begun(gms: Client, target: str, body: bytes, part: int) -> asyncio.StreamWriter:
    """Send only the first bytes of a request; return the connection."""
    host, port = gms.running.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: {MULTIPART}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body[:part])
    await writer.drain()
    return writer


def chunks(running: Running) -> list[bytes]:
    with running.redis as client:
        found: list[bytes] = client.keys("{genesys:*}b:*")
    return found


async def test_a_client_that_disconnects_leaves_no_chunk(serve: Callable[..., Running], http: ClientSession) -> None:
    running = serve()
    gms = Client(http, running)
    id = await gms.create(("a", "kept"))
    body = multipart(("file", ("a", "", LARGE)))
    for target in (at("600"), at(id, "600")):
        writer = await begun(gms, target, body, len(body) // 2)

        async def some() -> bool:
            return len(chunks(running)) >= 5

        async def none() -> bool:
            return not chunks(running)

        await soon(some)
        writer.transport.abort()
        await soon(none)  # at once; if the worker did nothing, the chunks would expire after a minute
    assert await gms.all(id) == {"a": "kept"}
    assert areas(running) == {f"{{genesys::{id}}}f:"}
    assert (await asyncio.to_thread(polystow, "fsck", data_dir=running.data_dir)).stdout == "0 faults found\n"


async def test_a_redis_that_is_killed_leaves_no_partial_area(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    running = serve()
    gms = Client(http, running)
    id = await gms.create(("a", "kept"), ("file", ("a", "", LARGE)))
    body = multipart(("file", ("a", "", LARGE[::-1])), ("a", "new"))
    for _ in range(3):
        writing = asyncio.gather(
            *(gms.ask("POST", target, body, Content_Type=MULTIPART) for target in (at("600"), at(id, "600")) * 4),
            return_exceptions=True,
        )
        await asyncio.sleep(0.02)
        await asyncio.to_thread(running.kill_redis)
        for reply in await writing:
            assert isinstance(reply, Reply)
            assert reply.status in (200, 503), reply.body
            if reply.status == 200 and "id" in reply.json:
                assert (await gms.get("binary", reply.json["id"], "file")).body == LARGE[::-1]
        whole = (await gms.get(id, "a")).body, (await gms.get("binary", id, "file")).body
        assert whole in ((b"kept", LARGE), (b"new", LARGE[::-1]))
    done = await asyncio.to_thread(polystow, "fsck", data_dir=running.data_dir)
    assert done.stdout == "0 faults found\n"


async def test_racing_updates_of_two_workers_leave_one_of_them_completely(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    running = serve(workers=2)
    gms = Client(http, running)
    id = await gms.create(("n", "0"))
    before = len(areas(running))
    states = {str(n): bytes([n]) * (300_000 + n) for n in range(16)}

    async def update(n: str, content: bytes) -> None:
        async with ClientSession() as own:
            fields = (("n", n), ("file", ("a", "", content)), (f"mine {n}", n))
            assert (await Client(own, running).post(id, "600", fields=fields)).status == 200

    await asyncio.gather(*(update(n, content) for n, content in states.items()))
    found = await gms.all(id)
    assert (await gms.get("binary", id, "file")).body == states[found["n"]]
    assert {f"mine {n}": n for n in states}.items() <= found.items()
    assert len(areas(running)) == before + 1  # the record, and the only chunk of the last file


async def test_downloads_during_deletes_and_updates_are_one_whole_file_or_none(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    running = serve(workers=2)
    me = Client(http, running, "me")
    files = [bytes([n]) * (1_000_000 + n) for n in range(2)]
    stop = asyncio.Event()
    seen: list[int] = []

    async def change() -> None:
        for n in range(40):
            content = ("file", ("a", "", files[n % 2]))
            assert (await me.post("custom", "x", "600", fields=(content,))).status == 200
            if n % 4 == 3:
                assert (await me.ask("DELETE", at("x"))).status == 200
        stop.set()

    async def read() -> None:
        async with ClientSession() as own:
            while not stop.is_set():
                try:
                    reply = await Client(own, running, "me").get("binary", "x", "file")
                except ClientError:
                    continue  # the answer is cut off, so the client sees that it is incomplete
                seen.append(reply.status)
                assert reply.status == 404 or reply.body in files

    await asyncio.gather(change(), *(read() for _ in range(4)))
    assert seen.count(200) > 5
    assert areas(running) == set()
