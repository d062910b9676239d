"""Tests the read cache while replies on the tracking connection are late: which reads wait, and what stays cached."""

import asyncio
import socket
import time

import uvloop

from service.http.app import App
from service.redis.tracking import PAUSE_SECONDS, WAIT_SECONDS, Tracker
from tests.fast_path.cached_reads import DOCUMENT, Client, hits, kept, started
from tests.raw_http import request
from tests.running import soon
from tests.servers import RedisProcess


class Held:
    """A tracking connection whose commands are held back until `release`."""

    def __init__(self, app: App) -> None:
        tracker = app.redis._tracking
        assert isinstance(tracker, Tracker)
        wire = tracker._wire
        assert wire is not None
        self.tracker, self._transport, self._written = tracker, wire.transport, list[bytes]()
        self._write, wire.transport.write = wire.transport.write, self._written.append  # type: ignore[method-assign,assignment]

    def release(self) -> None:
        self._transport.write = self._write  # type: ignore[method-assign]
        self._write(b"".join(self._written))


async def stored(app: App) -> Client:
    """Return a client whose next read of the document is answered from memory."""
    client = Client(app)
    await client.ask("PUT", DOCUMENT, b'{"a":1}')
    await kept(client)
    return client


async def from_memory(app: App, client: Client) -> bytes:
    """Read until an answer comes from memory, and return it."""
    body = b""

    async def hit() -> bool:
        nonlocal body
        before = hits(app)
        _, body = await client.ask("GET", DOCUMENT)
        return hits(app) > before

    await soon(hit)
    return body


async def test_a_slow_tracking_connection_delays_no_read_for_long(app: App) -> None:
    client = await stored(app)
    held, barriers = Held(app), app.redis.tracking.barriers
    for _ in range(20):
        assert await client.ask("GET", DOCUMENT) == (200, b'{"a":1}')
    assert app.redis.tracking.barriers == barriers + 1  # only the first read waited
    assert not held.tracker.ready
    held.release()
    assert await from_memory(app, client) == b'{"a":1}'


async def test_writes_during_a_stall_of_the_tracking_connection_are_read_afterwards(app: App) -> None:
    client = await stored(app)
    held = Held(app)
    await client.ask("GET", DOCUMENT)
    for number in range(2, 5):
        await client.ask("PUT", DOCUMENT, b'{"a":%d}' % number)
        assert await client.ask("GET", DOCUMENT) == (200, b'{"a":%d}' % number)
    held.release()
    for _ in range(5):
        assert await client.ask("GET", DOCUMENT) == (200, b'{"a":4}')
    await kept(client)
    assert await from_memory(app, client) == b'{"a":4}'


async def test_a_stall_of_the_tracking_connection_invalidates_nothing(app: App, redis: RedisProcess) -> None:
    client = await stored(app)
    kept_before = dict(app.cache.answers)
    redis.pause()
    client.send(request("GET", DOCUMENT))
    await asyncio.sleep(3 * WAIT_SECONDS)
    redis.resume()
    assert await from_memory(app, client) == b'{"a":1}'
    assert dict(app.cache.answers) == kept_before


async def test_pauses_grow_while_replies_are_late_and_end_with_the_first_timely_one(app: App) -> None:
    client = await stored(app)
    tracker = app.redis._tracking
    assert isinstance(tracker, Tracker)
    pauses = []
    for _ in range(3):
        held, barriers = Held(app), app.redis.tracking.barriers
        while app.redis.tracking.barriers == barriers:  # until the pause is over
            await client.ask("GET", DOCUMENT)
        pauses.append(tracker._pause)
        held.release()
    assert pauses == [PAUSE_SECONDS, 2 * PAUSE_SECONDS, 4 * PAUSE_SECONDS]
    await from_memory(app, client)
    assert tracker._pause == 0


def test_replies_that_arrived_while_the_worker_was_busy_are_not_late(redis: RedisProcess) -> None:
    redis.command("FLUSHALL")
    uvloop.run(read_while_busy(redis))


async def read_while_busy(redis: RedisProcess) -> None:
    """Keep the worker busy in a callback that reads a socket: uvloop handles timers before it reads others."""
    app = await started(redis.url)
    client = await stored(app)
    loop, before = asyncio.get_running_loop(), hits(app)
    ours, theirs = socket.socketpair()
    read = loop.create_future()

    def busy() -> None:
        loop.remove_reader(ours)
        redis.resume()
        time.sleep(1.5 * WAIT_SECONDS)
        read.set_result(None)

    with ours, theirs:
        redis.pause()
        count = len(client.transport.written)
        client.send(request("GET", DOCUMENT))
        await asyncio.sleep(0.01)
        loop.add_reader(ours, busy)
        theirs.send(b"x")
        await read
        assert await client.nth(count) == (200, b'{"a":1}')
    assert hits(app) == before + 1
    await app.close()
