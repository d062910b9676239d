"""Tests that events are pushed, without waking its stream, to a client that has read all earlier ones."""

import asyncio
from typing import Any

from service.api import following
from service.storage.access.directory import Caller
from service.storage.errors import Unauthenticated
from service.storage.feed.follower import Followers
from service.storage.feed.tail import BEGINNING
from service.storage.scripts.runner import Runner
from tests.runners import Connect
from tests.running import soon
from tests.servers import RedisProcess
from tests.storage.streams import Stream, Writer, followers_on


class Asked:
    """The parts of a request that a stream needs."""

    caller = Caller("id", {})

    def follow(self, follower: Any) -> None: ...


class Client:
    """A stream that is being sent, as service/http/edge.py sends it. `reads`: the client reads all at once."""

    def __init__(self, followers: Followers, runner: Runner) -> None:
        asked: Any = Asked()
        self.follower = followers.follow(Stream(runner), BEGINNING)
        self.revoked, self.reads = False, True
        self.pushed: list[bytes] = []
        stream = following.stream(asked, self.follower, "change", lambda at: f"{at[0]}-{at[1]}", self._confirm)
        self.pieces: Any = stream.pieces
        self.follower.send = self._send

    def _send(self, piece: bytes) -> bool:
        self.pushed.append(piece)
        return self.reads

    async def _confirm(self) -> None:
        if self.revoked:
            raise Unauthenticated("the token is unknown")

    async def begin(self) -> "asyncio.Future[bytes]":
        """Take the piece that is available, and return the awaitable of the next one."""
        assert await anext(self.pieces) == b""
        assert (await anext(self.pieces)).count(b"event: change") == 1
        waiting = asyncio.ensure_future(anext(self.pieces, b"the end"))

        async def waits() -> bool:
            return self.follower._waiting

        await soon(waits)
        return waiting

    async def has(self, count: int) -> None:
        async def pushed() -> bool:
            return b"".join(self.pushed).count(b"event: change") == count

        await soon(pushed)


async def begun(connect: Connect, redis: RedisProcess) -> tuple[Followers, Runner, Writer]:
    followers, runner = await followers_on(connect, redis)
    writer = Writer(redis)
    writer.add()
    return followers, runner, writer


async def test_events_are_pushed_to_a_waiting_stream(connect: Connect, redis: RedisProcess) -> None:
    followers, runner, writer = await begun(connect, redis)
    clients = [Client(followers, runner) for _ in range(2)]
    waiting = [await client.begin() for client in clients]
    for count in (1, 3, 8):
        writer.add(count + 1 - writer.count)
        for client in clients:
            await client.has(count)
    for client in clients:
        lines = b"".join(client.pushed).splitlines()
        assert [int(line[6:]) for line in lines if line.startswith(b"data: ")] == [*range(1, 9)]
    assert clients[0].pushed[-1] is clients[1].pushed[-1]  # in memory once
    assert followers.unread.bytes == 0
    for each in waiting:
        assert not each.done()
        each.cancel()


async def test_a_piece_is_unread_until_its_client_has_read_it(connect: Connect, redis: RedisProcess) -> None:
    followers, runner, writer = await begun(connect, redis)
    client = Client(followers, runner)
    waiting = await client.begin()
    client.reads = False
    writer.add()
    assert await waiting == b""  # there is nothing to write, but the client is to read first
    assert followers.unread.bytes == len(client.pushed[0])
    writer.add(3)

    async def known() -> bool:
        return followers.watcher.follow(Stream(runner)).tail.behind(client.follower.position) > 0

    await soon(known)
    assert len(client.pushed) == 1
    piece = await anext(client.pieces)
    assert piece.startswith(b"event: change")
    assert followers.unread.bytes == len(piece)
    await client.pieces.aclose()
    assert followers.unread.bytes == 0


async def test_nothing_is_pushed_once_access_has_changed(connect: Connect, redis: RedisProcess) -> None:
    followers, runner, writer = await begun(connect, redis)
    generation = 1
    followers.watcher.generation = lambda: generation
    client = Client(followers, runner)
    waiting = await client.begin()
    generation, client.revoked = 2, True
    writer.add()
    assert await waiting == b"the end"
    assert client.pushed == []
