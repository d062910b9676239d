"""What the vendor answers: one envelope, whose codes say what was wrong.

The page prints the code below `info`, the vendor's general page and its SDK read it at the top: it stands in both.
"""

from collections.abc import AsyncIterator, Iterable, Mapping

import orjson

from service.dialect import Answer, Failure, NoSuchMethod, NoSuchPath, Unsupported
from service.dialects.auravant.refusals import Coded
from service.storage import errors
from service.storage.errors import Refusal
from service.storage.records import Record

NOT_PERMITTED, WRONG_STATE, OTHER = 3, 5, 6
EXPIRED, NO_TOKEN, BAD_REQUEST = -2, -3, -4

DONE = Answer(200, b'{"code":0,"res":"ok","info":{"code":0,"res":"ok"}}')
OPENED, CLOSED = b'{"code":0,"res":"ok","info":{"code":0,"res":"ok","objects":{', b"}}}"
PIECE_BYTES = 65_536  # of an answer, before it is sent on its way


# Of a kind of refusal that is not here, the kind above it counts.
MEANINGS: dict[type[Refusal], tuple[int, int]] = {
    errors.NotFound: (WRONG_STATE, 200),
    errors.AlreadyExists: (WRONG_STATE, 200),
    errors.Changed: (WRONG_STATE, 200),
    errors.Denied: (NOT_PERMITTED, 200),
    errors.Mismatched: (OTHER, 200),
    errors.Invalid: (BAD_REQUEST, 400),
    errors.TooLarge: (BAD_REQUEST, 413),
    Unsupported: (BAD_REQUEST, 415),
    errors.Reused: (BAD_REQUEST, 422),
    NoSuchPath: (BAD_REQUEST, 404),
    NoSuchMethod: (BAD_REQUEST, 405),
    errors.Unauthenticated: (NO_TOKEN, 401),
    errors.Throttled: (OTHER, 429),
    errors.QuotaExceeded: (OTHER, 429),
    errors.Unavailable: (OTHER, 503),
    errors.OutcomeUnknown: (OTHER, 503),
    Failure: (OTHER, 500),
}


def refuse(refusal: Refusal, params: tuple[str, ...]) -> Answer:
    if isinstance(refusal, Coded):
        code, status = refusal.code, refusal.status
    else:
        kinds = type(refusal).__mro__
        code, status = next((MEANINGS[kind] for kind in kinds if kind in MEANINGS), MEANINGS[Failure])
        if isinstance(refusal, errors.Unauthenticated) and refusal.expired:
            code = EXPIRED
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
