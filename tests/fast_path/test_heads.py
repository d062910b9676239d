"""Tests that a known head gives the result of the parser, for any message in any pieces after any other messages."""

import asyncio
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from service.http.connection import FastPathConnection
from service.http.heads import (
    LINE_BYTES,
    LONGEST,
    MEANINGS,
    MOST_BYTES,
    START_BYTES,
    UNKNOWN,
    Heads,
    ordinary_head,
    parse_target,
)
from tests.fast_path.rig import Rig, at_rest
from tests.raw_http import DOCUMENTS, request

K = DOCUMENTS + "/c/k"
GET, PUT = request("GET", K), request("PUT", K, b'{"a":1}')


def parsed(data: bytes) -> list[tuple[Any, Any]]:
    """Return the messages that aiohttp's parser makes of these bytes."""
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16)
        return list(parser.feed_data(data)[0])
    finally:
        loop.close()


def learnt(data: bytes) -> tuple[Heads, int]:
    heads = Heads()
    return heads, heads.add(data, parsed(data)[0][0])


names = st.sampled_from(["X-One", "Accept", "x-two", "User-Agent", "Authorization", "Origin", "Content-Type", "X"])
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12).map(str.strip)
lines = st.lists(st.tuples(names, values), max_size=5, unique_by=lambda pair: pair[0]).map(
    lambda pairs: [": ".join(pair) for pair in pairs]
)
lengths = st.sampled_from(["Content-Length", "content-length", "CONTENT-LENGTH"])
methods = st.sampled_from(["GET", "PUT", "POST", "PATCH", "DELETE"])
paths = st.text("abz09-._~/?=&%20", max_size=20).map("/".__add__)


@st.composite
def messages(draw: st.DrawFn, known: list[str]) -> bytes:
    body = draw(st.binary(max_size=40))
    length = [f"{draw(lengths)}: {len(body)}"] if body or draw(st.booleans()) else []
    lines = ["Host: x", *known]
    at = draw(st.integers(0, len(lines)))
    head = [f"{draw(methods)} {draw(paths)} HTTP/1.1", *lines[:at], *length, *lines[at:], "", ""]
    return "\r\n".join(head).encode() + body


@given(st.data())
def test_known_heads_give_the_same_result_as_the_parser(data: st.DataObject) -> None:
    known = data.draw(lines)
    heads, owed = learnt(data.draw(messages(known)))
    assert owed in (0, UNKNOWN)
    message = data.draw(messages(known))
    if (found := heads.read(message)) is None:
        return
    head, line, body, _ = found
    ((told, payload),) = parsed(message)
    assert parse_target(line) == (told.method, told.path)
    assert {k.lower(): v for k, v in head.headers.items()} == {
        name.lower(): value for name, value in told.headers.items() if name.lower() != "content-length"
    }
    assert body == (b"" if payload.is_eof() and not payload.total_bytes else payload.read_nowait())


@pytest.mark.parametrize("size", [0, 1, 9, 10, 31_000])
def test_a_body_of_any_length_has_the_same_head(size: int) -> None:
    heads, _ = learnt(PUT)
    found = heads.read(request("PUT", K + "2", b"x" * size))
    assert found is not None
    assert found[1:3] == (f"PUT {K}2".encode(), b"x" * size)
    again = heads.read(request("PUT", K + "3", b"y" * size), found[3])  # as the connection's last head
    assert again == (found[0], f"PUT {K}3".encode(), b"y" * size, found[3])


def test_content_length_may_be_the_first_header() -> None:
    lines = b"\r\nContent-Length: %d\r\nHost: x\r\nX-One: 1\r\n\r\n"
    heads, owed = learnt(b"PUT /k1 HTTP/1.1" + lines % 2 + b"{}")
    assert owed == 0
    found = heads.read(b"PUT /k2 HTTP/1.1" + lines % 10 + b'{"a": "b"}')
    assert found is not None
    assert found[1:3] == (b"PUT /k2", b'{"a": "b"}')


@pytest.mark.parametrize(
    "data",
    [
        PUT[:-1],
        PUT + b"x",
        PUT + GET,
        GET + GET,
        GET[:-1],
        GET + b"x",
        b"",
        b"\r\n",
        b"\r\n" + GET,
        PUT.replace(b": 7", b": +7"),
        PUT.replace(b": 7", b": 7 "),
        PUT.replace(b": 7", b": 1111111111"),
        GET.replace(b"ak-1", b"ak-2"),
        GET.replace(b"\r\n", b"\n"),
    ],
)
def test_data_that_is_not_exactly_one_known_message_is_left_to_the_parser(data: bytes) -> None:
    heads, _ = learnt(PUT)
    heads.add(GET, parsed(GET)[0][0])
    found = heads.read(data)
    assert found is None or parse_target(found[1]) is None


@pytest.mark.parametrize(
    "line",
    [
        b"GET  /x",
        b"GET",
        b"GET ",
        b"GET x",
        b"GET http://x/y",
        b"",
        b"get /x",
        b"HEAD /x",
        b"GET /x#y",
        b"GET /\xc3\xa4",
        b"GET /x\t",
        b"GET /\x7f",
        b" GET /x",
        b"GET /x ",
        b"GET /x\r",
        b"\r\nGET /x",
        b"G\xffT /x",
        b"GET /x HTTP/1.0",
    ],
)
def test_an_unusual_header_line_is_left_to_the_parser(line: bytes) -> None:
    assert parse_target(line) is None


@pytest.mark.parametrize(
    "message",
    [
        request("GET", K, None, "Connection: close"),
        request("PUT", K, b"{}", "Expect: 100-continue"),
        request("GET", K, None, "Upgrade: websocket", "Connection: Upgrade"),
        request("GET", K, version="1.0"),
        request("PUT", K, None, "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        request("PUT", K, b"", "Content-Encoding: gzip"),
    ],
)
def test_an_unusual_head_is_not_kept(message: bytes) -> None:
    heads, owed = learnt(message)
    assert owed == UNKNOWN
    assert heads.read(message) is None


def test_adding_a_head_tells_how_much_of_its_body_is_missing() -> None:
    assert learnt(PUT[:-7])[1] == 7
    assert learnt(PUT[:-3])[1] == 3
    assert learnt(PUT.replace(b"Content-Length", b"CONTENT-LENGTH")[:-3])[1] == UNKNOWN


def test_the_memory_of_known_heads_is_limited() -> None:
    heads, number = Heads(), 0
    message = first = GET.replace(b"ak-1", b"0")
    while number == 0 or heads.read(first) is not None:
        assert heads._weight <= MOST_BYTES
        message = GET.replace(b"ak-1", b"%d" % number)
        heads.add(message, parsed(GET)[0][0])
        number += 1
    assert heads.read(message) is not None
    assert MOST_BYTES / (3 * len(message) + 1024) <= number < MOST_BYTES / 1024
    long = request("GET", K, None, "X: " + "x" * LONGEST)
    assert learnt(long)[0].read(long) is None


def test_the_memory_of_known_request_lines_is_limited() -> None:
    """A client may request any number of paths with one head, or with many."""
    heads, _ = learnt(GET)
    number = count = 0
    while heads.read(GET) is not None:
        message = GET.replace(b"ak-1", b"%d" % number)
        heads.add(message, parsed(message)[0][0])
        found = heads.read(message)
        assert found is not None
        for line in range(MEANINGS + 100):
            found[0].remember(b"GET /%d" % line, None)
        assert len(found[0].targets) <= MEANINGS
        number, count = number + 1, count + len(found[0].targets)
        assert number * MEANINGS < MOST_BYTES / 1024 + 2 * MEANINGS
    assert count * 1024 > MOST_BYTES - 2 * MEANINGS * 1024
    assert heads._weight < MOST_BYTES


def test_the_memory_that_a_connection_keeps_of_a_head_is_limited() -> None:
    """A connection may keep its last head as long as it is open."""
    heads, _ = learnt(PUT)
    found = heads.read(PUT)
    assert found is not None
    head, last = found[0], found[3]
    for number in range(MEANINGS):
        head.remember(b"PUT /%d" % number, None)
    head.callers["ainoflow"] = None
    number = 0
    while heads.read(PUT) is not None:
        message = GET.replace(b"ak-1", b"%d" % number)
        heads.add(message, parsed(message)[0][0])
        number += 1
    assert (head.targets, head.callers, heads.read(PUT, last)) == ({}, {}, None)
    head.remember(b"PUT /x", None)
    assert head.targets == {}
    heads.add(PUT, parsed(PUT)[0][0])
    again = heads.read(PUT, last)
    assert again is not None
    assert again[0] is not head


def test_a_known_head_that_is_added_again_stays_as_it_is() -> None:
    """A client may send each body separately from its head."""
    heads, _ = learnt(PUT)
    found = heads.read(PUT)
    assert found is not None
    weight = heads._weight
    for _ in range(3):
        assert heads.add(PUT[:-7], parsed(PUT)[0][0]) == 7
    again = heads.read(PUT)
    assert again is not None
    assert again[0] is found[0]
    assert heads._weight == weight


def test_a_long_line_is_left_to_the_parser() -> None:
    heads, _ = learnt(GET)
    assert heads.read(request("GET", "/x".ljust(LINE_BYTES - len("GET "), "x"))) is not None
    assert heads.read(request("GET", "/x".ljust(LINE_BYTES - len("GET ") + 1, "x"))) is None


def test_only_short_request_lines_are_kept_and_each_is_counted_once() -> None:
    heads, _ = learnt(GET)
    found = heads.read(GET)
    assert found is not None
    found[0].remember(b"x" * (START_BYTES + 1), None)
    before = heads._weight
    assert not found[0].targets
    for _ in range(3):
        found[0].remember(b"x" * START_BYTES, None)
    assert heads._weight == before + START_BYTES + 1024
    assert len(found[0].targets) == 1


def test_an_uncached_head_keeps_no_request_lines() -> None:
    """The route of a message that only the parser has read is not cached with any head."""
    for message in (GET, PUT):
        head = ordinary_head(parsed(message)[0][0])
        assert head is not None
        head.remember(b"GET /x", None)
        assert head.targets == {}


def test_a_head_with_an_idempotency_key_is_not_kept() -> None:
    for name in ("Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY"):
        message = request("PUT", K, b"{}", f"{name}: k")
        assert learnt(message)[0].read(message) is None


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """A list of the bytes that connections gave to the parser."""
    given: list[bytes] = []
    parse = FastPathConnection._parse

    def counted(connection: FastPathConnection, data: bytes) -> None:
        given.append(data)
        parse(connection, data)

    monkeypatch.setattr(FastPathConnection, "_parse", counted)
    return given


async def test_a_known_message_is_not_parsed(rig: Rig, fed: list[bytes]) -> None:
    for key in ("k", "k", "l", "m/meta"):
        rig.receive(request("GET", f"{DOCUMENTS}/c/{key}"))
        await rig.reply()
    assert (fed, rig.statuses, rig.ordinary) == ([GET], [200, 200, 404, 404], 0)  # the first time, its head was new
    assert at_rest(rig)


async def test_a_known_message_followed_by_another_one_is_parsed_after_all(rig: Rig, fed: list[bytes]) -> None:
    rig.receive(PUT)
    assert fed == []
    rig.receive(GET[:9])
    rig.receive(GET[9:])
    assert fed == [PUT, GET[:9], GET[9:]]
    await rig.reply()
    await rig.reply()
    assert rig.statuses == [200, 200]
    assert rig.transport.written[1].endswith(b'{"a":1}')
    assert at_rest(rig)


async def test_a_request_that_arrives_slowly_is_answered_once(rig: Rig, fed: list[bytes]) -> None:
    rig.transport.slow = True
    rig.receive(PUT)
    await rig.reply()
    rig.receive(GET)
    assert (fed, len(rig.transport.written), rig.held) == ([GET], 1, [])
    rig.transport.slow = False
    rig.resume_writing()
    await rig.reply()
    assert rig.statuses == [200, 200]
    assert at_rest(rig)


async def test_text_that_looks_like_a_message_in_a_head_is_not_one(rig: Rig, fed: list[bytes]) -> None:
    rig.receive(GET)
    await rig.reply()
    rig.receive(request("PUT", K, None, "X: ")[:-4])
    rig.receive(GET)
    assert fed[-1] == GET
    await rig.answered(2)
    assert (rig.statuses, rig.held, rig.ordinary) == ([200, 400], [], 1)  # it has two hosts


async def test_text_that_looks_like_a_message_in_a_body_is_not_one(rig: Rig, fed: list[bytes]) -> None:
    rig.receive(GET)
    await rig.reply()
    message = request("PUT", K, b'["' + GET + b'"]')
    rig.receive(message[: -len(GET) - 2])
    rig.receive(GET)
    assert fed[-1] == GET
    rig.receive(message[-2:])
    await rig.answered(2)
    assert rig.statuses == [200, 400]  # line breaks are not for texts in JSON
    await rig.rest()
    assert at_rest(rig)


async def test_a_body_that_arrives_after_its_head_leaves_the_parser_between_two_messages(
    rig: Rig, fed: list[bytes]
) -> None:
    rig.receive(GET)
    await rig.reply()
    for piece in (PUT[:-7], PUT[-7:-2], PUT[-2:]):
        rig.receive(piece)
    await rig.answered(2)
    await rig.rest()
    fed.clear()
    rig.receive(GET)
    assert fed == []
    await rig.reply()
    assert rig.statuses == [200] * 3
    assert at_rest(rig)


async def test_a_caller_of_an_older_generation_is_looked_up_again(rig: Rig) -> None:
    rig.receive(GET)
    await rig.reply()
    rig.app.state.service.directory.generation = None
    rig.receive(GET)
    asked = 0
    while rig.held:
        await rig.reply()
        asked += 1
    assert (rig.statuses, rig.ordinary) == ([200, 200], 0)
    assert asked >= 2  # who it is, and what it asks for
    assert at_rest(rig)


@pytest.mark.parametrize("last", ["a%2Fb", "a?x=1", "", "a%zz", "meta"])
async def test_an_encoded_last_segment_is_decoded_like_any_other(rig: Rig, last: str) -> None:
    rig.receive(GET)
    await rig.reply()
    rig.receive(request("GET", DOCUMENTS + "/c/" + last))
    await rig.rest()
    while rig.held:
        await rig.reply()
    await rig.answered(2)
    assert rig.statuses[1] == (200 if last == "" else 404)  # without it, the path is the category's
    assert at_rest(rig)
