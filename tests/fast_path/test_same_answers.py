"""Tests that both paths give the same answers in order, and keep or close the connection, however messages arrive."""

import gzip
import json
from typing import NamedTuple
from uuid import uuid4

import pytest

from tests.raw_http import DOCUMENTS, WHOAMI, Response, Wire, connected, request, warm
from tests.running import Running

C = DOCUMENTS + "/CATEGORY"  # a category of the test's own stands for it
K = C + "/k"
GET, PUT = request("GET", K), request("PUT", K, b'{"a":[1,2]}')
LIST = request("GET", C)
EXPECT = "Expect: 100-continue"
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b'1\r\n{\r\n4;x=y\r\n"a":\r\n2\r\n1}\r\n0\r\n\r\n'
MANY = b'["' + b"x" * 16381 + b'"]'  # 16,385 bytes, each a chunk: aiohttp's parser stands still behind them
LARGE = b'["' + b"x" * 700_000 + b'"]'
ZIPPED = gzip.compress(b'{"zipped":true}')


class Case(NamedTuple):
    """A conversation: the pieces that are sent, and the status of each answer. `closes`: the last answer ends it."""

    segments: list[bytes]
    statuses: list[int]
    closes: bool = False
    method: str = "GET"


def singly(message: bytes) -> list[bytes]:
    """The head in one piece, the body byte by byte."""
    head, end, body = message.partition(b"\r\n\r\n")
    return [head + end, *(body[n : n + 1] for n in range(len(body)))]


def chunked(body: bytes, *headers: str) -> bytes:
    return request("PUT", K, None, CHUNKED, *headers) + body


def with_lines(*lines: str, body: bytes = b"{}") -> bytes:
    return request("PUT", K, None, *lines) + body


CASES = {
    # Pipelines.
    "three at once": Case([GET + PUT + GET], [200] * 3),
    "one of each kind": Case([GET + LIST + PUT + request("OPTIONS", C) + GET], [200, 200, 200, 405, 200]),
    "refused ones between": Case([request("PUT", K, b"nonsense") + GET + request("GET", C + "/none")], [400, 200, 404]),
    "31 refused ones": Case([request("PUT", K, b"nonsense") * 31 + GET], [400] * 31 + [200]),
    "1,000 in one segment": Case([GET * 1000], [200] * 1000),
    "1,000 of all kinds": Case([(GET + PUT + LIST + request("PUT", K, b"?")) * 250], [200, 200, 200, 400] * 250),
    "a pipeline behind a body in pieces": Case([PUT[:-4], PUT[-4:], GET * 40], [200] * 41),
    "a pipeline with the end of a body": Case([PUT[:-4], PUT[-4:] + GET * 40], [200] * 41),
    "cut between two": Case([GET + PUT[:-4], PUT[-4:] + GET], [200] * 3),
    "cut within the head": Case([GET[:12], GET[12:] + GET[:-1], GET[-1:]], [200] * 2),
    "broken behind good ones": Case([GET, PUT, b"nonsense\r\n\r\n"], [200, 200, 400], closes=True),
    "broken in one piece with a good one": Case([GET + b"nonsense\r\n\r\n" + GET], [200, 400], closes=True),
    "large behind small": Case([GET + request("PUT", K, LARGE) + GET], [200] * 3),
    "small behind large": Case([request("PUT", K, LARGE) + PUT + GET], [200] * 3),
    "unknown caller between": Case([GET + GET.replace(b"ak-1", b"none") + GET], [200, 401, 200]),
    # Bodies.
    "byte by byte": Case(singly(PUT), [200]),
    "chunks": Case([chunked(CHUNKS), GET], [200] * 2),
    "chunks byte by byte": Case([*singly(chunked(CHUNKS)), GET], [200] * 2),
    "chunks in a pipeline": Case([GET + chunked(CHUNKS) + GET], [200] * 3),
    "trailers": Case([chunked(CHUNKS[:-2] + b"X: y\r\n\r\n") + GET], [200] * 2),
    "so many chunks that the parser stands still": Case(
        [chunked(b"".join(b"1\r\n%c\r\n" % byte for byte in MANY) + b"0\r\n\r\n"), PUT, GET, PUT + GET], [200] * 5
    ),
    "no chunk": Case([chunked(b"0\r\n\r\n") + GET], [400, 200]),
    "no body": Case([request("PUT", K) + GET], [400, 200]),
    "gzip": Case([with_lines("Content-Encoding: gzip", f"Content-Length: {len(ZIPPED)}", body=ZIPPED), GET], [200] * 2),
    "gzip in pieces": Case(
        [with_lines("Content-Encoding: gzip", f"Content-Length: {len(ZIPPED)}", body=ZIPPED[:9]), ZIPPED[9:], GET],
        [200] * 2,
    ),
    "body of a GET": Case([request("GET", K, b"ignored") + GET], [200] * 2),
    "body of a DELETE": Case([request("DELETE", K, b"ignored") + GET], [200, 404]),
    "larger than the buffers": Case([request("PUT", K, LARGE), GET], [200] * 2),
    # Expect.
    "asked before the body": Case([request("PUT", K, b"12", EXPECT)[:-2], b"[]", GET], [100, 200, 200]),
    "asked with the body": Case([request("PUT", K, b"[]", EXPECT) + GET], [200] * 2),
    "asked without a body": Case([request("GET", K, None, EXPECT) + GET], [200] * 2),
    "asked by an old client": Case([request("PUT", K, b"12", EXPECT, version="1.0")[:-2], b"[]"], [200], closes=True),
    # Ends of connections.
    "HTTP/1.0": Case([request("GET", K, version="1.0")], [200], closes=True),
    "HTTP/1.0 kept alive": Case([request("GET", K, None, "Connection: keep-alive", version="1.0") + GET], [200] * 2),
    "Connection: close": Case([GET + request("GET", K, None, "Connection: close")], [200] * 2, closes=True),
    "more behind the last one": Case([request("GET", K, None, "Connection: close") + GET], [200], closes=True),
    "HTTP/2.0": Case([request("GET", K, version="2.0")], [505], closes=True),
    # Other methods and targets.
    "HEAD": Case([request("HEAD", K)], [200], method="HEAD"),
    "OPTIONS": Case([request("OPTIONS", K) + GET], [405, 200]),
    "unknown method": Case([request("BREW", K)], [501], closes=True),
    "CONNECT": Case([request("CONNECT", "x:80") + GET], [501], closes=True),
    "whole URL": Case([request("GET", "http://x" + K) + GET], [200] * 2),
    "asterisk": Case([request("OPTIONS", "*") + request("GET", "/*") + GET], [204, 404, 200]),
    "upgrade": Case([request("GET", K, None, "Upgrade: websocket", "Connection: Upgrade") + GET + PUT], [200] * 3),
    "upgrade behind another": Case(
        [GET + request("GET", K, None, "Upgrade: websocket", "Connection: Upgrade") + GET], [200] * 3
    ),
    "lawful id": Case([request("GET", K, None, "X-Request-Id: mine") + GET], [200] * 2),
    "known state": Case([request("GET", K, None, "If-None-Match: *") + GET], [304, 200]),
    # Shapes that proxies understand otherwise.
    "length and chunks": Case([with_lines("Content-Length: 2", CHUNKED, body=CHUNKS) + GET], [400], closes=True),
    "chunks and length": Case([with_lines(CHUNKED, "Content-Length: 2", body=CHUNKS) + GET], [400], closes=True),
    "two lengths": Case([with_lines("Content-Length: 2", "Content-Length: 3") + GET], [400], closes=True),
    "the same length twice": Case([with_lines("Content-Length: 2", "Content-Length: 2") + GET], [400], closes=True),
    "length with a sign": Case([with_lines("Content-Length: +2") + GET], [400], closes=True),
    "list of lengths": Case([with_lines("Content-Length: 2, 2") + GET], [400], closes=True),
    "chunked not last": Case([with_lines("Transfer-Encoding: chunked, gzip", body=CHUNKS)], [400], closes=True),
    "unknown coding": Case([with_lines("Transfer-Encoding: xchunked", body=CHUNKS)], [400], closes=True),
    "white space before the colon": Case([with_lines("Content-Length : 2")], [400], closes=True),
    "folded header": Case([request("GET", K, None, "X: a", "\tb")], [400], closes=True),
    "bare LF": Case([GET.replace(b"\r\n", b"\n")], [400], closes=True),
    "bare CR": Case([GET.replace(b"Host: x", b"Host: x\rX: y")], [400], closes=True),
    "no host": Case([GET.replace(b"Host: x\r\n", b"")], [400], closes=True),
    "length of a chunk in decimal": Case([chunked(b"g\r\n{}\r\n0\r\n\r\n") + GET], [400], closes=True),
    "chunk longer than it says": Case([chunked(b"1\r\n{}\r\n0\r\n\r\n") + GET], [400], closes=True),
}


async def converse(running: Running, category: str, case: Case) -> list[Response]:
    async with connected(running) as wire:
        await warm(wire, K.replace("CATEGORY", category))
        await wire.send(*(segment.replace(b"CATEGORY", category.encode()) for segment in case.segments))
        responses = [await wire.response(case.method) for _ in case.statuses]
        if case.closes:
            assert await wire.rest() == b""
        else:
            await undisturbed(wire)
    return responses


async def undisturbed(wire: Wire) -> None:
    """Check that the connection works, and that it has no other bytes."""
    assert json.loads((await wire.ask("GET", WHOAMI)).body)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_both_paths_send_the_same_bytes(service: Running, ordinary: Running, case: Case) -> None:
    category = uuid4().hex
    fast, slow = [await converse(running, category, case) for running in (service, ordinary)]
    assert [response.status for response in slow] == case.statuses
    assert [response.comparable for response in fast] == [response.comparable for response in slow]
