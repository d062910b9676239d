"""Answers and refusals in the vendor's format: one envelope, with a code.

The vendor's storage page prints the code inside `info`; its general page and its SDK read it at the top level. It is in
both places.
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
PIECE_BYTES = 65_536  # a piece of an answer is sent when it has more bytes


# Codes by type of refusal: `CODES` are sent with HTTP 200, `GENERAL` with the refusal's own status. A type that is in
# neither has the code of its base class.
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
    body = {"code": code, "res": "err", "msg": str(refusal)}
    return Answer(status, orjson.dumps({**body, "info": body}))


def entry(name: str, value: bytes) -> bytes:
    """Return a member of a JSON object; `value` is JSON already."""
    return orjson.dumps(name) + b":" + value


def members(records: Iterable[tuple[str, Record]], names: Mapping[str, str]) -> bytes:
    """Return keys and values as members of a JSON object."""
    return b",".join([entry(names[id], record.body) for id, record in records])


def whole_answer(
    found: Iterable[tuple[str, Iterable[tuple[str, Record]]]], names: Mapping[str, str], *, level: bool
) -> Answer:
    """Answer a GET whose records have all been read, as one body. `names` and `level` are as in `answer_pieces`."""
    objects = [(resource, members(records, names)) for resource, records in found]
    parts = [entry(resource, b"{%b}" % part) for resource, part in objects] if level else [part for _, part in objects]
    return Answer(200, b"%b%b%b" % (OPENED, b",".join(parts), CLOSED))


async def answer_pieces(
    found: AsyncIterator[tuple[str, list[tuple[str, Record]]]], names: Mapping[str, str], *, level: bool
) -> AsyncIterator[bytes]:
    """Yield the answer to a GET piece by piece. `found` has portions of records, those of one resource in a row.

    `names` maps record ids to keys. If `level` is False, there is only one resource and its id is left out.
    """
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
