"""Tests file control: the declared type of a file, the type of its bytes, and an allowed type must be the same."""

import io
import random
import zipfile
from collections.abc import Iterator

import pytest
from aiohttp import ClientSession

from service.dialects.genesys.control import LOOKED_AT, fits
from tests.dialects.genesys.client import Client, areas
from tests.running import Running

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0"
PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
GIF = b"GIF89a\1\0\1\0\x80\0\0"
EXE = b"MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff" + bytes(100)
PAGE = b"  <!DOCTYPE html><script>alert(1)</script>"


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "hello")
    return file.getvalue()


FIT = [
    ("image/png", PNG),
    ("application/pdf", PDF),
    ("image/jpeg", JPEG),
    ("image/jpg", JPEG),
    ("image/gif", GIF),
    ("application/zip", zipped()),
    ("application/x-zip-compressed", zipped()),
    ("text/plain", b"hello\n"),
    ("text/plain", "é".encode()),
    ("text/csv", b"a,b\n1,2\n"),
    ("text/html", PAGE),
    ("text/html", b"<html><p>"),
    ("application/xml", b"<?xml version='1.0'?><a/>"),
    ("text/xml", b"<?xml version='1.0'?><a/>"),
    ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ("application/json", b'{"a": 1}'),
    ("application/json", b"[1]"),
    ("audio/wav", b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0"),
    ("text/plain", b""),
    ("application/octet-stream", bytes(range(7, 200))),
]
UNFIT = [
    ("image/png", JPEG),
    ("image/png", PAGE),
    ("image/png", b"hello"),
    ("image/png", b""),
    ("image/png", EXE),
    ("text/plain", PNG),
    ("text/plain", PDF),
    ("text/plain", PAGE),
    ("text/plain", EXE),
    ("text/plain", zipped()),
    ("text/html", b"hello"),
    ("application/pdf", PNG),
    ("application/json", PAGE),
    ("application/zip", PDF),
    ("text/plain", b"\xef\xbb\xbf <script>"),
    ("text/csv", bytes(range(7, 200))),
]


@pytest.mark.parametrize(("type", "content"), FIT)
def test_a_file_whose_content_matches_its_type_is_accepted(type: str, content: bytes) -> None:
    assert fits(type, content)


@pytest.mark.parametrize(("type", "content"), UNFIT)
def test_a_file_whose_content_does_not_match_its_type_is_refused(type: str, content: bytes) -> None:
    assert not fits(type, content)


def test_random_bytes_never_make_the_check_raise() -> None:
    chance = random.Random(1)
    starts = [content for _, content in (*FIT, *UNFIT)]
    for _ in range(300):
        fits("image/png", chance.choice(starts)[: chance.randrange(20)] + chance.randbytes(chance.randrange(LOOKED_AT)))


@pytest.fixture(scope="module")
def strict() -> Iterator[Running]:
    with Running(genesys_allow_file_control="true", genesys_allowed_mime_types="image/png, application/pdf") as running:
        yield running.wait_ready()


async def test_a_request_with_a_file_of_another_type_stores_nothing(strict: Running, http: ClientSession) -> None:
    gms = Client(http, strict)
    id = await gms.create(("a", "1"), ("file", ("a.png", "image/png", PNG + bytes(600_000))))
    assert (await gms.get("binary", id, "file")).body == PNG + bytes(600_000)
    before = areas(strict)
    for type, content in (("image/png", PDF), ("image/gif", GIF), ("text/plain", b"x"), ("", PNG), ("image/png", b"")):
        fields = (("b", "2"), ("good", ("b.pdf", "application/pdf", PDF)), ("bad", ("a.png", type, content)))
        (await gms.post("60", fields=fields)).refused(403)
        (await gms.post(id, "60", fields=fields)).refused(403)
    assert areas(strict) == before
    assert (await gms.all(id)).keys() == {"a", "file"}


async def test_an_empty_list_allows_no_file_but_texts(http: ClientSession) -> None:
    with Running(genesys_allow_file_control="true") as running:
        gms = Client(http, running.wait_ready())
        (await gms.post("60", fields=(("file", ("a.png", "image/png", PNG)),))).refused(403)
        assert await gms.all(await gms.create(("a", "1"))) == {"a": "1"}


async def test_without_file_control_any_file_is_accepted(gms: Client) -> None:
    id = await gms.create(("file", ("a.png", "image/png", EXE)))
    assert (await gms.get("binary", id, "file")).body == EXE
