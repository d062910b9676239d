"""Answers in the vendor's form: one envelope, whose codes say what was wrong.

The page prints the code below `info`, the vendor's general page and its SDK read it at the top: it stands in both.
"""

from collections.abc import AsyncIterator, Iterable, Mapping

import orjson

from service.api.dialect import Answer, NoSuchMethod, NoSuchPath
from service.dialects.auravant.refusals import Coded
from service.storage import errors
from service.storage.errors import Refusal
from service.storage.records.record import Record

NOT_PERMITTED, WRONG_STATE, OTHER = 3, 5, 6
EXPIRED, NO_TOKEN, BAD_REQUEST = -2, -3, -4

DONE = Answer(200, b'{"code":0,"res":"ok","info":{"code":0,"res":"ok"}}')
OPENED, CLOSED = b'{"code":0,"res":"ok","info":{"code":0,"res":"ok","objects":{', b"}}}"
PIECE_BYTES = 65_536  # of an answer, before it is sent on its way


# The codes that come with HTTP 200, and those that come with the refusal's own status. Of a kind of refusal that is not
# here, the kind above it counts.
CODES: dict[type, int] = {
    errors.NotFound: WRONG_STATE,
    errors.AlreadyExists: WRONG_STATE,
    errors.Changed: WRONG_STATE,
    errors.Denied: NOT_PERMITTED,
    errors.Mismatched: OTHER,
}
GENERAL: dict[type, int] = {
    errors.Invalid: BAD_REQUEST,
    errors.TooLarge: BAD_REQUEST,
    errors.Reused: BAD_REQUEST,
    NoSuchPath: BAD_REQUEST,
    NoSuchMethod: BAD_REQUEST,
    errors.Unauthenticated: NO_TOKEN,
    Refusal: OTHER,
}


def refuse(refusal: Refusal, params: tuple[str, ...]) -> Answer:
    if isinstance(refusal, Coded):
        code, status = refusal.code, refusal.status
    elif isinstance(refusal, errors.Unauthenticated) and refusal.expired:
        code, status = EXPIRED, refusal.status
    else:
        kind = next(kind for kind in type(refusal).__mro__ if kind in CODES or kind in GENERAL)
        code, status = (CODES[kind], 200) if kind in CODES else (GENERAL[kind], refusal.status)
    said = {"code": code, "res": "err", "msg": str(refusal)}
    return Answer(status, orjson.dumps({**said, "info": said}))


def entry(name: str, value: bytes) -> bytes:
    """A member of a JSON object; the value's bytes as they stand."""
    return orjson.dumps(name) + b":" + value


def members(records: Iterable[tuple[str, Record]], names: Mapping[str, str]) -> bytes:
    """Keys and values, as members of an object."""
    return b",".join([entry(names[id], record.body) for id, record in records])


def everything(
    found: Iterable[tuple[str, Iterable[tuple[str, Record]]]], names: Mapping[str, str], *, level: bool
) -> Answer:
    """The answer to a GET of which all is at hand; see `pieces`."""
    told = [(resource, members(records, names)) for resource, records in found]
    parts = [entry(resource, b"{%b}" % part) for resource, part in told] if level else [part for _, part in told]
    return Answer(200, b"%b%b%b" % (OPENED, b",".join(parts), CLOSED))


async def pieces(
    found: AsyncIterator[tuple[str, list[tuple[str, Record]]]], names: Mapping[str, str], *, level: bool
) -> AsyncIterator[bytes]:
    """The answer to a GET, piece by piece: of each resource its portions of records, one behind the other. `names` has
    the key of each record id; without the `level` of resources there is only one, whose id is left out."""
    piece, current, comma = bytearray(OPENED), None, b""
    async for resource, records in found:
        if level and resource != current:
            if current is not None:
                piece += b"},"
            piece += orjson.dumps(resource) + b":{"
            current, comma = resource, b""
        piece += comma + members(records, names)
        comma = b","
        if len(piece) > PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece) + (b"}" if current is not None else b"") + CLOSED
