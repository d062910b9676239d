"""Lists of files in the vendor's format: the members that its page prints, with `code` and `info` beside them."""

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


def file_json(filed: Filed, link: Link) -> bytes:
    """Return one file as JSON. It has a URL if `link` is given and the file was uploaded."""
    at = datetime.fromtimestamp(filed.at // 1_000_000, UTC)
    members = {
        "file_name": filed.file.name,
        "file_size_kb": filed.file.size / 1024,
        "created_at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if link is not None and filed.uploaded:
        members["url"] = link(filed)
    return orjson.dumps(members)


def members(files: Iterable[Filed], names: Mapping[str, str], link: Link) -> bytes:
    """Return keys and their files as members of a JSON object."""
    return b",".join([entry(names[filed.id], file_json(filed, link)) for filed in files])


async def objects(
    found: AsyncIterator[tuple[str, list[Filed]]], names: Mapping[str, str], link: Link, *, level: bool = True
) -> AsyncIterator[bytes]:
    """Yield a JSON object of all resources that have files, piece by piece.

    `names` maps record ids to keys. If `level` is False, there is only one resource and its id is left out.
    """
    piece, comma = bytearray(b"{"), b""
    async for resource, files in found:
        keys = members(files, names, link)
        piece += comma + (entry(resource, b"{" + keys + b"}") if level else keys)
        comma = b","
        if len(piece) > PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece) + b"}"


async def enveloped(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the pieces of a list inside the envelope of an answer to GET."""
    before = OPENED
    async for piece in pieces:
        yield before + piece
        before = b""
    yield CLOSED
