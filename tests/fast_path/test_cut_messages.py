"""Tests messages that arrive in pieces: nothing is answered or done before the message is complete.

This must hold whatever heads the connection has served before. The tests need not wait to see whether a piece had an
effect: the worker answers a request on another connection after everything that an earlier piece could have started.
"""

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from service.verification.conversations import Exchange, filled, load, shipped
from tests.conversations import judge
from tests.dialects.ainoflow.client import open_project
from tests.dialects.auravant.client import CALLERS
from tests.dialects.avaamo.client import open_agent
from tests.lengths import either, examples
from tests.raw_http import DOCUMENTS, Response, Wire, connected, request
from tests.running import Running

K = f"{DOCUMENTS}/cut/k"
CONVERSATIONS = shipped()
ROUNDS = either(2, 4)  # of each conversation: each message is cut elsewhere in each of them
LENGTH = b"Content-Length: "
NOT_THERE = 'If-Match: "of-another"'  # no document has this etag, so nothing is written


class Cutter:
    """Sends messages in pieces, each on a connection of its own, and checks that no piece has an effect."""

    def __init__(self, running: Running, beside: Wire) -> None:
        self._running, self._beside = running, beside

    async def whole(self, message: bytes) -> Response:
        async with connected(self._running) as wire:
            await wire.send(message)
            return await wire.response(method(message))

    async def cut(self, message: bytes, *points: int) -> Response:
        """The answer to a message whose pieces end at these points, on a connection that has served another one. Before
        its body is whole it may be refused."""
        told = f"cut at {points}, behind {message[: points[0]][-40:]!r}: {message[:200]!r}"
        head = message.index(b"\r\n\r\n") + 4
        async with connected(self._running) as wire:
            assert (await wire.ask("GET", K)).status in (200, 404)
            for start, end in zip((0, *points), points, strict=False):
                await wire.send(message[start:end])
                assert (await self._beside.ask("GET", K)).status in (200, 404)
                if not await wire.silent():
                    assert end >= head, f"answered before its head was whole, {told}"
                    answer = await wire.response(method(message))
                    assert answer.status >= 400, f"carried out before it was whole, {told}"
                    return answer
            await wire.send(message[points[-1] :])
            return await wire.response(method(message))


@asynccontextmanager
async def cutting(running: Running) -> AsyncIterator[Cutter]:
    async with connected(running) as beside:
        yield Cutter(running, beside)


def method(message: bytes) -> str:
    return message.partition(b" ")[0].decode()


def with_length(message: bytes, at: int) -> bytes:
    """Return the message with its Content-Length at this position among its headers; -1 is the last position."""
    head, _, body = message.partition(b"\r\n\r\n")
    start, *lines = [line for line in head.split(b"\r\n") if not line.startswith(LENGTH)]
    at = len(lines) if at < 0 else min(at, len(lines))
    lines.insert(at, LENGTH + str(len(body)).encode())
    return b"\r\n".join([start, *lines, b"", b""]) + body


def telling(message: bytes) -> list[int]:
    """Return the points around the ends of lines and of the head, inside of the Content-Length, and in the body."""
    ends = [point for point in range(1, len(message)) if message[point - 1 : point + 1] in (b"\r\n", b"\n\r")]
    head = message.index(b"\r\n\r\n") + 4
    points = {point + shift for point in ends[:40] for shift in (-1, 0, 1)}
    if (length := message.find(LENGTH)) > 0:
        points |= set(range(length, length + len(LENGTH) + 2))
    points |= {head, head + 1, (head + len(message)) // 2, len(message) - 1}
    return sorted(point for point in points if 0 < point < len(message))


CONDITIONAL = [
    request("DELETE", K, b"", NOT_THERE),
    request("PUT", K, b'{"a":2}', NOT_THERE),
    request("PATCH", K, b'{"a":3}', "X-More: 1", NOT_THERE, "X-Last: 1"),
    request("POST", K, b'{"a":4}'),  # it is there
    request("GET", K, None, "If-None-Match: *"),
    request("HEAD", K),
    request("PUT", "/api/v1/storage/json/cut", b'{"a":5}'),  # not for this method
]


def earlier(message: bytes) -> list[bytes]:
    """Return messages whose heads begin like this one's, each one line longer, and end with `Content-Length: 0`."""
    head = message.partition(b"\r\n\r\n")[0]
    _, *lines = [line for line in head.split(b"\r\n") if not line.startswith(LENGTH)]
    start = b"DELETE " + K.encode() + b"-none HTTP/1.1"
    known = [b"\r\n".join([start, *lines[:count], LENGTH + b"0", b"", b""]) for count in range(2, len(lines) + 1)]
    return known * 3


async def state(cutter: Cutter) -> bytes:
    return (await cutter.whole(request("GET", K + "/meta"))).body


@pytest.mark.long
@pytest.mark.parametrize("at", [2, -1])
@pytest.mark.parametrize("message", CONDITIONAL, ids=lambda message: method(message))
async def test_every_prefix_of_a_message_waits_for_its_rest(service: Running, message: bytes, at: int) -> None:
    """The short form uses only the telling points, with the Content-Length as the last header."""
    message = with_length(message, at) if LENGTH in message else message
    async with cutting(service) as cutter:
        assert (await cutter.whole(request("PUT", K, b'{"a":1}'))).status == 200
        for known in [*earlier(message), message, message]:
            expected = await cutter.whole(known)
        before = await state(cutter)
        for point in range(1, len(message)) if either(False, at > 0) else telling(message):
            assert (await cutter.cut(message, point)).comparable == expected.comparable, point
        assert await state(cutter) == before


def raw(exchange: Exchange, known: dict[str, str], at: int) -> bytes:
    """Return the bytes of a request of a conversation."""
    asked = filled(exchange, known)
    host = [] if any(name == "Host" for name, _ in asked.headers) else ["Host: x"]
    lines = [f"{asked.method} {asked.target} HTTP/1.1", *host, *(": ".join(pair) for pair in asked.headers)]
    message = "\r\n".join([*lines, "", ""]).encode() + (asked.body or b"")
    return (
        with_length(message, at)
        if asked.body is not None or asked.method in ("POST", "PUT", "PATCH", "DELETE")
        else message
    )


async def known_for(dialect: str, running: Running, http: ClientSession) -> dict[str, str]:
    """Return the values that the conversations of a dialect name, for callers that only this replay uses."""
    if dialect == "ainoflow":
        project = await open_project(running, http)
        return {"key": project.key}
    if dialect == "avaamo":
        agent = await open_agent(running, http)
        return {"token": agent.token, "agent": str(agent.agent)}
    if dialect == "auravant":
        return CALLERS | {"here": "http://x"}
    return {"url": "http://x", "user": uuid4().hex, "custom": uuid4().hex}


def points(message: bytes, choice: random.Random) -> Iterator[int]:
    """Return one or two points at which a message is divided; telling points are more likely."""
    few = telling(message)
    count = choice.choice([1, 1, 2])
    chosen = {choice.choice(few) if choice.random() < 0.8 else choice.randrange(1, len(message)) for _ in range(count)}
    yield from sorted(chosen)


@pytest.mark.long
@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
async def test_a_conversation_that_arrives_in_pieces_has_the_written_answers(
    service: Running, http: ClientSession, conversation: Path
) -> None:
    choice = random.Random(conversation.name)
    async with cutting(service) as cutter:
        for number in range(ROUNDS):
            known = await known_for(conversation.parts[-3], service, http)
            for exchange in load(conversation):
                message = raw(exchange, known, at=-1 if number % 2 else 2)
                if number == 0:  # from the first round on, every head is known
                    answer = await cutter.whole(message)
                else:
                    answer = await cutter.cut(message, *points(message, choice))
                judge(exchange, answer.status, answer.headers, answer.body.decode(), known)


LINES = st.lists(
    st.sampled_from(["Accept: */*", "X-One: 1", "x-two: 2", "User-Agent: it", "Content-Type: application/json"]),
    unique=True,
)


@examples(15, 60)
@given(
    name=st.sampled_from(["DELETE", "PUT", "PATCH"]),
    before=LINES,
    behind=LINES,
    body=st.sampled_from([b"{}", b"[1]"]),
    length=st.integers(1, 12),
    earliest=st.integers(1, 12),
    data=st.data(),
)
async def test_no_piece_of_a_message_is_treated_as_a_whole_one(
    service: Running,
    name: str,
    before: list[str],
    behind: list[str],
    body: bytes,
    length: int,
    earliest: int,
    data: st.DataObject,
) -> None:
    """The connection has served the same lines before, with the Content-Length elsewhere and without the condition."""
    behind = [line for line in behind if line not in before]
    message = with_length(request(name, K, body, *before, NOT_THERE, *behind), length)
    cuts = data.draw(st.lists(st.sampled_from(telling(message)), min_size=1, max_size=2, unique=True).map(sorted))
    async with cutting(service) as cutter:
        assert (await cutter.whole(request("PUT", K, b'{"a":1}'))).status == 200
        for known in [*earlier(message), with_length(message, earliest), message]:
            expected = await cutter.whole(known)
        held = await state(cutter)
        assert (await cutter.cut(message, *cuts)).comparable == expected.comparable
        assert await state(cutter) == held
