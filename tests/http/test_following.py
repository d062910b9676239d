"""Tests the heartbeats of streams of events, and that a stream ends with the credential of its caller."""

import asyncio
from collections.abc import Callable
from time import time
from typing import Any

import pytest

from service.api import following
from service.api.dialect import Stream
from service.storage.access.directory import Caller
from service.storage.errors import Unauthenticated
from service.storage.feed.tail import Event, Piece, Position


class Follower:
    """A follower to which a test adds events."""

    position: Position = (1, 0)
    over = False
    sent: Piece | None = None
    served: Any = None
    generation: int | None = 1

    def __init__(self) -> None:
        self.events: list[Event] = []

    def counted(self) -> "Follower":
        return self

    def unread(self, piece: Piece) -> "Follower":
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...

    async def take(self, limit: int, until: float) -> list[Event]:
        if not self.events:
            await asyncio.sleep(until - asyncio.get_running_loop().time())
        taken, self.events = self.events, []
        return taken

    async def take_piece(self, until: float, render: Callable[[Event], bytes]) -> Piece | None:
        if not self.events:
            await asyncio.sleep(until - asyncio.get_running_loop().time())
        taken, self.events = self.events[:2], self.events[2:]
        if not taken:
            return None
        start, self.position = self.position, taken[-1].position
        return Piece(start, self.position, b"".join(map(render, taken)))


class Asked:
    """The parts of a request that a stream uses."""

    def follow(self, follower: Any) -> None: ...

    def __init__(self, expires: float | None = None) -> None:
        self.caller = Caller("id", {}, expires=expires)


async def confirmed() -> None: ...


async def revoked() -> None:
    raise Unauthenticated("the token is unknown")


def open_stream(follower: Any, asked: Any, confirm: following.Confirm = confirmed) -> Stream:
    return following.stream(asked, follower, "change", lambda position: f"{position[0]}-{position[1]}", confirm)


async def test_a_heartbeat_with_the_cursor_is_sent_after_a_time_without_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "HEARTBEAT_SECONDS", 0.05)
    follower = Follower()
    pieces = open_stream(follower, Asked()).pieces
    assert await anext(pieces) == b""
    assert await anext(pieces) == b"event: heartbeat\nid: 1-0\ndata: {}\n\n"
    follower.events.append(Event((2, 1), b'{"a":\n1}'))
    assert await anext(pieces) == b'event: change\nid: 2-1\ndata: {"a": 1}\n\n'
    assert await anext(pieces) == b"event: heartbeat\nid: 2-1\ndata: {}\n\n"


async def test_a_stream_ends_when_its_credential_expires() -> None:
    pieces = open_stream(Follower(), Asked(time() + 0.1)).pieces
    async with asyncio.timeout(5):
        assert [piece async for piece in pieces] == [b""]


@pytest.mark.parametrize("generation", [2, None])
async def test_a_client_that_catches_up_gets_nothing_more_once_its_credential_is_revoked(
    generation: int | None,
) -> None:
    follower, confirm = Follower(), confirmed
    follower.events = [Event((number, 0), b"x" * 30_000) for number in range(2, 9)]

    async def now() -> None:
        await confirm()

    stream = open_stream(follower, Asked(), now).pieces
    assert await anext(stream) == b""
    assert (await anext(stream)).count(b"event: change") == 2
    confirm = revoked
    assert (await anext(stream)).count(b"event: change") == 2  # the worker has not noticed the change of access yet
    follower.generation = generation
    assert [piece async for piece in stream] == []


@pytest.mark.parametrize("generation", [1, None])
async def test_a_poll_returns_no_changes_once_its_credential_is_revoked(generation: int | None) -> None:
    follower: Any = Follower()
    follower.events, follower.generation = [Event((2, 0), b"{}")], generation
    asked: Any = Asked()
    with pytest.raises(Unauthenticated):
        await following.poll(asked, follower, 10, 60, revoked)
