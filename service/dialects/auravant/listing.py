"""Lists of files in the vendor's form: the bodies as its page prints them, and beside them the code and `info`."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import UTC, datetime

import orjson

from service.api.dialect import Answer
from service.dialects.auravant.answers import PIECE_BYTES, entry
from service.storage.files.files import Filed

OK = {"code": 0, "res": "ok", "info": {"code": 0, "res": "ok"}}
OPENED, CLOSED = orjson.dumps(OK)[:-1] + b',"objects":', b"}"

Link = Callable[[Filed], str] | None


def data(value: object) -> Answer:
    return Answer(200, orjson.dumps({**OK, "data": value}))


def told(filed: Filed, link: Link) -> bytes:
    """One file; the URL only of one that is there to be downloaded."""
    at = datetime.fromtimestamp(filed.at // 1_000_000, UTC)
    said = {
        "file_name": filed.file.name,
        "file_size_kb": filed.file.size / 1024,
        "created_at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if link is not None and filed.uploaded:
        said["url"] = link(filed)
    return orjson.dumps(said)


def members(files: Iterable[Filed], names: Mapping[str, str], link: Link) -> bytes:
    """Keys and their files, as members of an object."""
    return b",".join([entry(names[filed.id], told(filed, link)) for filed in files])


async def objects(
    found: AsyncIterator[tuple[str, list[Filed]]], names: Mapping[str, str], link: Link, *, level: bool = True
) -> AsyncIterator[bytes]:
    """An object of all resources that have files, piece by piece. `names` has the key of each record id; without the
    `level` of resources there is only one, whose id is left out."""
    piece, comma = bytearray(b"{"), b""
    async for resource, files in found:
        told = members(files, names, link)
        piece += comma + (entry(resource, b"{" + told + b"}") if level else told)
        comma = b","
        if len(piece) > PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece) + b"}"


async def enveloped(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return a list inside of the answer to a GET."""
    before = OPENED
    async for piece in pieces:
        yield before + piece
        before = b""
    yield CLOSED
