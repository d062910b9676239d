"""Tests files: they come back byte for byte, whole and in part, and with safe headers for any name and content."""

import os
from hashlib import md5

import pytest

from tests.dialects.genesys.client import MULTIPART, Client, areas, at, multipart

MEBIBYTE = 1024 * 1024


@pytest.mark.parametrize("size", [0, 1, 8192, 8193, 262_144, 262_145, 10 * MEBIBYTE])
async def test_a_file_of_any_size_comes_back_byte_for_byte(gms: Client, size: int) -> None:
    content = os.urandom(size)
    id = await gms.create(("file", ("a.bin", "application/x-any", content)))
    reply = await gms.get("binary", id, "file")
    assert reply.body == content
    assert (reply.headers["Content-Type"], reply.headers["Content-Length"]) == ("application/x-any", str(size))
    assert reply.headers["ETag"] == f'"{md5(content).hexdigest()}"'
    head = await gms.ask("HEAD", at("binary", id, "file"))
    assert (head.status, head.headers.get("Content-Length", "0"), head.body) == (200, str(size), b"")


async def test_bytes_that_look_like_a_boundary_are_stored(gms: Client) -> None:
    content = b"\r\n------a-boundar\r\n--\r\n------a-boundarx--\r\n\r" * 20_000
    id = await gms.create(("a", "1"), ("file", ("a", "", content)), ("b", "2"))
    assert (await gms.get("binary", id, "file")).body == content
    assert (await gms.all(id))["b"] == "2"


RANGES = [
    ("bytes=0-0", 206, 0, 1),
    ("bytes=10-", 206, 10, None),
    ("bytes=-10", 206, -10, None),
    ("bytes=262140-262150", 206, 262_140, 262_151),
    ("bytes=0-99999999", 206, 0, None),
    ("bytes=-99999999", 206, 0, None),
    ("bytes=5-2", 200, 0, None),
    ("bytes=a-b", 200, 0, None),
    ("bytes=0-1,4-5", 200, 0, None),
    ("items=0-1", 200, 0, None),
    ("bytes=-", 200, 0, None),
    ("bytes=٣-", 200, 0, None),
]


@pytest.mark.parametrize("size", [500, 600_000])
async def test_a_range_returns_that_part(gms: Client, size: int) -> None:
    content = os.urandom(size)
    id = await gms.create(("file", ("a", "", content)))
    for asked, status, start, end in RANGES:
        reply = await gms.get("binary", id, "file", Range=asked)
        if status == 206 and start >= size:
            assert (reply.status, reply.headers["Content-Range"]) == (416, f"bytes */{size}")
            continue
        wanted = content[start:end]
        assert (reply.status, reply.body) == (status, wanted), asked
        assert ("Content-Range" in reply.headers) == (status == 206)
        if status == 206:
            first = content.index(wanted)
            assert reply.headers["Content-Range"] == f"bytes {first}-{first + len(wanted) - 1}/{size}"
            assert reply.headers["Content-Length"] == str(len(wanted))
    for asked in (f"bytes={size}-", "bytes=-0"):
        reply = await gms.get("binary", id, "file", Range=asked)
        assert (reply.status, reply.headers["Content-Range"]) == (416, f"bytes */{size}")


async def test_conditions_on_a_file_are_checked(gms: Client) -> None:
    id = await gms.create(("file", ("a", "image/png", b"bytes")))
    etag = (await gms.get("binary", id, "file")).headers["ETag"]
    for asked in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        reply = await gms.get("binary", id, "file", If_None_Match=asked)
        assert (reply.status, reply.body, reply.headers["ETag"]) == (304, b"", etag)
    assert (await gms.get("binary", id, "file", If_None_Match='"x"')).status == 200
    assert (await gms.get("binary", id, "file", Range="bytes=0-0", If_Range=etag)).status == 206
    assert (await gms.get("binary", id, "file", Range="bytes=0-0", If_Range='"x"')).status == 200


NAMES = {
    "plain.txt": 'attachment; filename="plain.txt"',
    "é😀.txt": "attachment; filename=\"__.txt\"; filename*=UTF-8''%C3%A9%F0%9F%98%80.txt",
    "../../etc/passwd": 'attachment; filename="passwd"',
    "C:\\\\dir\\\\a.doc": 'attachment; filename="a.doc"',
    "50%.txt": "attachment; filename=\"50_.txt\"; filename*=UTF-8''50%25.txt",
    'q\\"; x=y.txt': "attachment; filename=\"q_; x=y.txt\"; filename*=UTF-8''q%22%3B%20x%3Dy.txt",
    "a\tb": "attachment; filename=\"a_b\"; filename*=UTF-8''a%09b",
    "": "attachment",
}


@pytest.mark.parametrize("name", NAMES)
async def test_a_file_name_cannot_forge_a_header(gms: Client, name: str) -> None:
    id = await gms.create(("file", (name, "text/html", b"<script>alert(1)</script>")))
    reply = await gms.get("binary", id, "file")
    assert reply.headers["Content-Disposition"] == NAMES[name]
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'; sandbox;")


@pytest.mark.parametrize("type", ["no type", "é/x", "a/b/c", "/", "x" * 200 + "/y"])
async def test_a_file_with_an_invalid_type_is_served_as_octet_stream(gms: Client, type: str) -> None:
    id = await gms.create(("file", ("a", type, b"x")))
    assert (await gms.get("binary", id, "file")).headers["Content-Type"] == "application/octet-stream"


async def test_a_replaced_or_deleted_file_leaves_no_chunk(gms: Client) -> None:
    before = areas(gms.running)
    id = await gms.create(("file", ("a", "", b"x" * MEBIBYTE)))
    assert len(areas(gms.running) - before) == 5
    await gms.post(id, "600", fields=(("file", ("a", "", b"y" * (MEBIBYTE // 2))),))
    assert (await gms.get("binary", id, "file")).body == b"y" * (MEBIBYTE // 2)
    assert len(areas(gms.running) - before) == 3
    await gms.ask("DELETE", at(id))
    assert areas(gms.running) - before == set()


async def test_files_that_are_sent_in_pieces_of_any_size_arrive(gms: Client) -> None:
    """The body is chunked, and its boundaries are split anywhere."""
    import asyncio

    body = multipart(("a", "1"), ("file", ("a", "", os.urandom(3000))), ("b", "2"))
    host, port = gms.running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST {at('60')} HTTP/1.1\r\nHost: x\r\nContent-Type: {MULTIPART}\r\n".encode())
    writer.write(b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
    for start in range(0, len(body), 7):
        piece = body[start : start + 7]
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 ")
    id = answer[answer.index(b'{"id":"') + 7 :][:36].decode()
    assert (await gms.get(id, "b")).body == b"2"
    assert len((await gms.get("binary", id, "file")).body) == 3000
