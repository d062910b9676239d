"""Tests compressed bodies: decompressed only for a known caller, within limits, and completely or not at all."""

import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest

from service.http import edge
from service.http.edge import FREE_BYTES, PIECE_BYTES, RATIO
from service.storage.errors import TooLarge
from tests.raw_http import DOCUMENTS, Response, Wire, connected, request
from tests.running import Running

K = f"{DOCUMENTS}/packed/k"
DOCUMENT = b'{"a":[1,2,3]}'
AREA = "/genesys/1/storage/60"
FORM = "Content-Type: application/x-www-form-urlencoded"

PACKED = {
    "gzip": gzip.compress(DOCUMENT),
    "GZIP": gzip.compress(DOCUMENT),
    "x-gzip": gzip.compress(DOCUMENT),
    "deflate": zlib.compress(DOCUMENT),
    "identity": DOCUMENT,
    "": DOCUMENT,
    "identity, gzip": gzip.compress(DOCUMENT),
}
OTHERS = ["br", "zstd", "compress", "gzip, gzip", "deflate, gzip", "gzip;q=1", "nonsense", "*"]
BROKEN = {
    "no gzip": ("gzip", DOCUMENT),
    "empty": ("gzip", b""),
    "cut in half": ("gzip", PACKED["gzip"][:20]),
    "without its checksum": ("gzip", PACKED["gzip"][:-8]),
    "without its last byte": ("gzip", PACKED["gzip"][:-1]),
    "wrong checksum": ("gzip", PACKED["gzip"][:-8] + b"abcd" + PACKED["gzip"][-4:]),
    "wrong size": ("gzip", PACKED["gzip"][:-4] + b"abcd"),
    "garbage behind": ("gzip", PACKED["gzip"] + b"x"),
    "two of them": ("gzip", PACKED["gzip"] * 2),
    "zlib, and not gzip": ("gzip", PACKED["deflate"]),
    "gzip, and not zlib": ("deflate", PACKED["gzip"]),
    "cut zlib": ("deflate", PACKED["deflate"][:-2]),
    "wrong zlib checksum": ("deflate", PACKED["deflate"][:-4] + b"abcd"),
}


async def put(wire: Wire, coding: str, body: bytes) -> Response:
    return await wire.ask("PUT", K, body, f"Content-Encoding: {coding}")


@pytest.fixture
async def wire(service: Running) -> AsyncIterator[Wire]:
    async with connected(service) as wire:
        assert (await wire.ask("PUT", K, b"{}")).status == 200
        yield wire


@pytest.mark.parametrize("coding", PACKED)
async def test_a_compressed_document_is_stored_decompressed(wire: Wire, coding: str) -> None:
    for _ in range(2):  # the second time, the head is known
        assert (await put(wire, coding, PACKED[coding])).status == 200
        assert (await wire.ask("GET", K)).body == DOCUMENT
        assert (await wire.ask("PUT", K, b"{}")).status == 200


@pytest.mark.parametrize("coding", OTHERS)
async def test_the_refusal_of_an_unknown_coding_names_the_supported_ones(wire: Wire, coding: str) -> None:
    for _ in range(2):
        found = await put(wire, coding, DOCUMENT)
        assert (found.status, found.headers["Accept-Encoding"]) == (415, "gzip, deflate, identity")
        assert list(json.loads(found.body)) == ["error"]
    assert (await wire.ask("GET", K)).body == b"{}"


async def test_every_dialect_refuses_an_unknown_coding_in_its_shape(service: Running) -> None:
    asked = {
        request("POST", AREA, b"a=1", FORM): {"exception", "message"},
        request("PUT", "/bots_api/v1/storages/a.json?bot_id=8017", b"{}", "Access-Token: av-edit"): {"error"},
        request("POST", "/api/mktplace/storage/users?operation=PUT", b"{}", credential="Authorization: Bearer av-1"): {
            "code",
            "res",
            "msg",
            "info",
        },
    }
    async with connected(service) as wire:
        for message, members in asked.items():
            await wire.send(message.replace(b"Host: x", b"Host: x\r\nContent-Encoding: br"))
            found = await wire.response()
            assert set(json.loads(found.body)) == members
            assert (found.status, "Accept-Encoding" in found.headers) in ((415, True), (401, False))


@pytest.mark.parametrize(("coding", "body"), BROKEN.values(), ids=BROKEN)
async def test_a_body_that_does_not_match_its_coding_stores_nothing(wire: Wire, coding: str, body: bytes) -> None:
    found = await put(wire, coding, body)
    assert found.status == 400
    assert (await wire.ask("GET", K)).body == b"{}"
    form = await wire.ask(
        "POST", "/genesys/1/storage/custom/packed/60", body, f"Content-Encoding: {coding}", FORM, "gms_user: p"
    )
    assert form.status == 400
    await wire.send(request("GET", "/genesys/1/storage/packed", None, "gms_user: p"))
    assert (await wire.response()).status == 404


async def test_a_body_is_not_decompressed_before_authentication(service: Running) -> None:
    """The body is not examined, so one that is not gzip also gets 401."""
    async with connected(service) as wire:
        sent = request("PUT", K, b"no gzip", "Content-Encoding: gzip", credential="Authorization: Bearer none")
        for body in (b"no gzip", gzip.compress(b" " * 1_000_000)):
            await wire.send(sent.partition(b"Content-Length")[0] + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert (await wire.response()).status == 401


async def test_a_compressed_form_without_authentication_has_a_limit(service: Running) -> None:
    async with connected(service) as wire:
        for size, status in ((FREE_BYTES - 2, 200), (60_000_000, 413), (2_000_000, 413)):
            packed = gzip.compress(b"a=" + b"x" * size)
            found = await wire.ask("POST", AREA, packed, "Content-Encoding: gzip", FORM)
            assert found.status == status, found.body
        assert f"over {RATIO} times its size".encode() in found.body
        random = Random(1).randbytes(300_000).hex().encode()  # twice as large as its compressed form
        assert (
            await wire.ask("POST", AREA, gzip.compress(b"a=" + random), "Content-Encoding: gzip", FORM)
        ).status == 200


async def test_an_area_over_its_limit_is_refused(serve: Callable[..., Running]) -> None:
    running = serve(genesys_max_request_bytes=1024)
    async with connected(running) as wire:
        found = await wire.ask("POST", AREA, gzip.compress(b"a=" + b"x" * 2000), "Content-Encoding: gzip", FORM)
        assert (found.status, b"1024 bytes" in found.body) == (413, True)


async def cut(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
async def test_a_body_is_decompressed_in_pieces_wherever_it_is_cut(size: int) -> None:
    text = b"".join(b"%d," % number for number in range(3 * PIECE_BYTES // 6)) + b" " * 3 * PIECE_BYTES
    pieces = [piece async for piece in edge._unpacked(cut(gzip.compress(text), size), "gzip", len(text), len(text))]
    assert b"".join(pieces) == text
    assert max(map(len, pieces)) <= PIECE_BYTES


async def test_a_decompression_bomb_costs_no_more_than_the_limit() -> None:
    bomb = gzip.compress(bytes(200_000_000), 9)
    unpacked, seen = edge._unpacked(cut(bomb, 65_536), "gzip", 10_000_000, 10_000_000), []

    async def unpack() -> None:
        async for piece in unpacked:
            seen.append(len(piece))

    with pytest.raises(TooLarge):
        await unpack()
    assert 10_000_000 - PIECE_BYTES < sum(seen) <= 10_000_000
