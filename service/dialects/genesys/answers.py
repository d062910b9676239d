"""Answers in the vendor's form: ids, all keys of an area, one of them, and its refusals."""

from codecs import getincrementaldecoder
from collections.abc import AsyncIterator, Callable
from urllib.parse import quote

import orjson

from service.api.dialect import JSON, Answer, Stream
from service.storage.errors import Changed, Refusal
from service.storage.files.areas import Area, Value
from service.storage.files.blobs import Span

BINARY = "/genesys/1/storage/binary/"
TEXT = "text/plain; charset=utf-8"
Read = Callable[[Area, Value], AsyncIterator[bytes]]


def answer(value: object) -> Answer:
    return Answer(200, orjson.dumps(value))


def url(base: str, id: str, key: str) -> str:
    """Return the URL of the bytes of a file."""
    return f"{base}{BINARY}{quote(id, safe='')}/{quote(key, safe='')}"


def everything(area: Area, base: Callable[[], str], read: Read) -> Answer | Stream:
    """All keys of an area, files as their URLs."""
    if any(map(lengthy, area.values.values())):
        return Stream(200, _members(area, base, read))
    return answer({key: _said(area, key, value, base) for key, value in area.values.items()})


def lengthy(value: Value) -> bool:
    """Is it a text that is not at hand?"""
    return not value.type and isinstance(value.body, Span)


async def _members(area: Area, base: Callable[[], str], read: Read) -> AsyncIterator[bytes]:
    before = b"{"
    for key, value in area.values.items():
        name = before + orjson.dumps(key) + b":"
        before = b","
        if not lengthy(value):
            yield name + orjson.dumps(_said(area, key, value, base))
            continue
        yield name + b'"'
        async for characters in _characters(read(area, value)):
            yield orjson.dumps(characters)[1:-1]
        yield b'"'
    yield b"}"


async def _characters(pieces: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """UTF-8 that is cut anywhere."""
    decode = getincrementaldecoder("utf-8")().decode
    async for piece in pieces:
        yield decode(piece)


def one(area: Area, key: str, base: Callable[[], str], read: Read) -> Answer | Stream:
    """One key of an area: the text itself, or the URL of a file."""
    value = area.value(key)
    if lengthy(value):
        return Stream(200, read(area, value), TEXT, (), value.size)
    return Answer(200, _said(area, key, value, base).encode(), TEXT)


def _said(area: Area, key: str, value: Value, base: Callable[[], str]) -> str:
    if value.type:
        return url(base(), area.collection.name, key)
    assert isinstance(value.body, bytes)
    return value.body.decode()


def refuse(refusal: Refusal, params: tuple[str, ...]) -> Answer:
    said = {"exception": type(refusal).__name__, "message": str(refusal)}
    status = 409 if isinstance(refusal, Changed) else refusal.status
    return Answer(status, orjson.dumps(said), JSON)
