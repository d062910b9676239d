"""Tests that too large bodies are refused before they are read completely, and that incomplete ones store nothing."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.dialects.ainoflow.client import Client, at, on_the_wire, open_project, read_reply
from tests.running import Running

LIMIT = 10 * 1024 * 1024
MEBIBYTE = b"x" * 1024 * 1024
METHODS = ["PUT", "POST", "PATCH"]


def head(project: Client, method: str, *headers: str, key: str | None = None) -> bytes:
    lines = [f"{method} {at('d', 'k')} HTTP/1.1", "Host: x", f"Authorization: Bearer {key or project.key}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


@asynccontextmanager
async def connected(project: Client) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = project.running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("length", [LIMIT + 1, 1 << 40, 10**18])
async def test_a_length_over_the_limit_is_413_before_a_byte_of_the_body(
    project: Client, method: str, length: int
) -> None:
    (await on_the_wire(project.running, head(project, method, f"Content-Length: {length}"))).refused(413)
    await project.nothing_stored()


@pytest.mark.parametrize("method", METHODS)
async def test_an_endless_body_is_413_as_soon_as_it_exceeds_the_limit(project: Client, method: str) -> None:
    async with connected(project) as (reader, writer):
        writer.write(head(project, method, "Transfer-Encoding: chunked"))
        answered = asyncio.create_task(read_reply(reader))
        sent = 0
        while not answered.done():
            writer.write(b"100000\r\n" + MEBIBYTE + b"\r\n")
            sent += len(MEBIBYTE)
            assert sent < 20 * LIMIT
            await asyncio.sleep(0.01)
        (await answered).refused(413)
    await project.nothing_stored()


@pytest.mark.parametrize("method", METHODS)
async def test_a_caller_without_permission_is_refused_before_the_body_is_sent(project: Client, method: str) -> None:
    request = head(project, method, f"Content-Length: {LIMIT}", key="unknown")
    (await on_the_wire(project.running, request)).refused(401)


async def test_expect_100_continue_is_answered_by_100_or_by_the_refusal(project: Client) -> None:
    expect = "Expect: 100-continue"
    refused = await on_the_wire(project.running, head(project, "PUT", f"Content-Length: {LIMIT + 1}", expect))
    refused.refused(413)
    async with connected(project) as (reader, writer):
        writer.write(head(project, "PUT", "Content-Length: 3", expect))
        assert (await read_reply(reader)).status == 100
        writer.write(b"[1]")
        assert (await read_reply(reader)).status == 200
    assert (await project.get("d", "k")).body == b"[1]"


async def test_the_largest_document_is_stored_and_one_byte_more_is_not(project: Client) -> None:
    largest = b'["' + b"x" * (LIMIT - 4) + b'"]'
    for method, status in (("POST", 201), ("PUT", 200)):
        assert (await project.ask(method, at("d", "k"), largest)).status == status
        (await project.ask(method, at("d", "k2"), largest[:2] + b"x" + largest[2:])).refused(413)
        (await project.ask(method, at("d", "k2"), largest + b" ")).refused(413)
    assert (await project.get("d", "k")).body == largest
    assert largest in (await project.get("d")).body
    assert await project.keys("d") == ["k"]


async def test_the_limit_is_a_setting(serve: Callable[..., Running], http: ClientSession) -> None:
    project = await open_project(serve(max_document_bytes=2000), http)
    await project.put("d", "k", b'{"a":"%b"}' % (b"x" * 1900))
    for method in METHODS:
        (await project.ask(method, at("d", "k2"), b" " * 2001)).refused(413)
    (await project.ask("PATCH", at("d", "k"), b'{"b":"%b"}' % (b"x" * 100))).refused(413)


async def test_a_compressed_body_is_stored_decompressed(project: Client) -> None:
    body = gzip.compress(b'{"a":1}')
    assert (await project.ask("PUT", at("d", "k"), body, Content_Encoding="gzip")).status == 200
    assert (await project.get("d", "k")).body == b'{"a":1}'


async def test_a_decompression_bomb_is_413_as_soon_as_it_exceeds_the_limit(project: Client) -> None:
    bomb = gzip.compress(b" " * (20 * LIMIT))
    assert len(bomb) < LIMIT / 10
    (await project.ask("PUT", at("d", "k"), bomb, Content_Encoding="gzip")).refused(413)
    await project.nothing_stored()


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"nonsense", "gzip"), (gzip.compress(b'{"a":1}', mtime=0)[:-12], "gzip"), (b"\xff\xff", "deflate")],
)
async def test_a_body_that_cannot_be_decompressed_is_refused(project: Client, body: bytes, kind: str) -> None:
    (await project.ask("PUT", at("d", "k"), body, Content_Encoding=kind)).refused(400)
    await project.nothing_stored()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["Content-Length: 10", "Transfer-Encoding: chunked"])
async def test_a_body_that_is_cut_off_stores_nothing(project: Client, method: str, kind: str) -> None:
    async with connected(project) as (_, writer):
        writer.write(head(project, method, kind) + (b'{"a":1}' if "Length" in kind else b'7\r\n{"a":1}\r\n'))
        await writer.drain()
    await asyncio.sleep(0.1)  # long enough for a wrong write to be carried out
    await project.nothing_stored()


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_clients_that_leave_before_their_answer_cause_no_errors_in_the_log(project: Client, method: str) -> None:
    def failed() -> int:
        return sum(project.running.log.count(said) for said in ("a request failed", "Error handling request"))

    before = failed()
    for _ in range(50):
        async with connected(project) as (_, writer):
            writer.write(head(project, method, "Content-Length: 2") + b"{}")
            await writer.drain()
    assert (await project.put("d", "other")).status == 200
    assert failed() == before


async def test_a_body_of_many_small_values_takes_no_more_memory_than_others(project: Client) -> None:
    def most() -> int:
        (pid,) = project.running.worker_pids()
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    await project.put("d", "k", b'["' + b"x" * (LIMIT - 4) + b'"]')
    before = most()
    await project.put("d", "k", b"[" + b"[]," * 3_490_000 + b"[]]")
    assert most() - before < 3 * LIMIT


async def test_a_chunked_body_is_stored(project: Client) -> None:
    chunks = b'3\r\n{"a\r\n1;x=y\r\n"\r\n3\r\n:1}\r\n0\r\n\r\n'
    reply = await on_the_wire(project.running, head(project, "PUT", "Transfer-Encoding: chunked") + chunks)
    assert reply.status == 200
    assert (await project.get("d", "k")).body == b'{"a":1}'


async def test_pipelined_requests_are_answered_in_order(project: Client) -> None:
    put = head(project, "PUT", "Content-Length: 3")
    async with connected(project) as (reader, writer):
        writer.write(
            put + b"[1]" + head(project, "GET") + put + b"[2]" + head(project, "GET") + head(project, "DELETE")
        )
        replies = [await read_reply(reader) for _ in range(5)]
    assert [reply.status for reply in replies] == [200] * 5
    assert [replies[1].body, replies[3].body] == [b"[1]", b"[2]"]
    assert [replies[0].json["version"], replies[2].json["version"]] == [1, 2]
