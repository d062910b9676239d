"""Tests the parser: messages are the same however they are divided into segments, and no segment blocks the worker."""

import asyncio
from random import Random
from time import thread_time
from typing import Any

import pytest

from service.http.edge import Server
from service.http.parser import BrokenChunks, Message, Parser
from tests.raw_http import request

BREAKS = (b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"\n", b"GET / HTTP/1.1\r\n\r\n", b"a", b"0", b"")


async def _nobody(_: Any) -> Any:
    raise AssertionError("nothing is asked")


@pytest.fixture
async def parser() -> Parser:
    parser = Server(_nobody)()._parser
    assert isinstance(parser, Parser)
    return parser


def chunked(random: Random, body: bytes) -> bytes:
    sent = b""
    while body:
        size = random.randrange(1, len(body) + 1)
        sent += random.choice([b"%x", b"0%X", b"%x;a=b"]) % size + b"\r\n" + body[:size] + b"\r\n"
        body = body[size:]
    return sent + random.choice(
        [b"0\r\n\r\n", b"00;x\r\n\r\n", b"0\r\nX-Trailer: 0\r\n\r\n", b"0\r\nX: y\r\nX-Trailer: y\r\n\r\n"]
    )


def message(random: Random, number: int) -> tuple[bytes, bytes]:
    """A message with its body."""
    body = b"".join(random.choice(BREAKS) for _ in range(random.randrange(8)))
    kind = random.randrange(3)
    if kind == 0:
        return random.choice([b"", b"\r\n"]) + request("GET", f"/{number}"), b""
    if kind == 1:
        return request("PUT", f"/{number}", body), body
    return request("PUT", f"/{number}", None, "Transfer-Encoding: chunked") + chunked(random, body), body


async def text(body: Any) -> bytes:
    async with asyncio.timeout(10):
        return bytes(await body.read())


@pytest.mark.parametrize("seed", range(300))
async def test_messages_are_parsed_the_same_wherever_they_are_cut(parser: Parser, seed: int) -> None:
    random = Random(seed)
    sent = [message(random, number) for number in range(12)]
    wire, found = b"".join(each for each, _ in sent), list[Message]()
    while wire:
        cut = random.choice([1, 2, 3, 7, 40, 400])
        found += parser.feed_data(wire[:cut])[0]
        wire = wire[cut:]
    assert [each.path for each, _ in found] == [f"/{number}" for number in range(12)]
    assert [await text(body) for _, body in found] == [body for _, body in sent]
    for each, _ in found:
        assert each.headers.getall("Host") == ["x"]
        assert not each.headers.keys() & {"X", "X-Trailer"}


CHUNKED = request("PUT", "/x", None, "Transfer-Encoding: chunked")
MEAN = {
    "line breaks in a chunk": CHUNKED + b"40000\r\n" + b"\r\n\r\n" * 65_536 + b"\r\n0\r\n\r\n",
    "line breaks before a message": b"\r\n" * 131_072,
    "chunks of one byte": CHUNKED + b"1\r\n\n\r\n" * 40_000 + b"0\r\n\r\n",
    "an endless chunk extension": CHUNKED + b"1;" + b"a" * 260_000,
}


@pytest.mark.parametrize("data", MEAN.values(), ids=MEAN)
async def test_no_segment_occupies_the_worker_for_long(parser: Parser, data: bytes) -> None:
    """If segments were divided at each line break, the first would take one second of CPU."""
    start = thread_time()
    parser.feed_data(data)
    assert thread_time() - start < 0.5


@pytest.mark.parametrize(
    "size", [b"", b" 1", b"1 ", b"+1", b"-1", b"0x1", b"1_0", b"g", b"0" * 17 + b"1", b"1\n", b";a"]
)
@pytest.mark.parametrize("cut", [1, 1_000])
async def test_a_chunk_without_a_valid_size_is_refused(parser: Parser, size: bytes, cut: int) -> None:
    sent, found = CHUNKED + b"1\r\n{\r\n" + size + b"\r\n}\r\n0\r\n\r\n" + request("GET", "/"), list[Message]()
    for at in range(0, len(sent), cut):
        found += parser.feed_data(sent[at : at + cut])[0]
    ((_, body),) = found
    assert isinstance(body.exception(), BrokenChunks)
