"""Answers and refusals in the vendor's format: ids, all keys of an area, one key."""

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
    """Return the URL of a file's content."""
    return f"{base}{BINARY}{quote(id, safe='')}/{quote(key, safe='')}"


def all_keys(area: Area, base: Callable[[], str], read: Read) -> Answer | Stream:
    """Answer all keys of an area. Files are represented by their URLs."""
    if any(map(is_long_text, area.values.values())):
        return Stream(200, _members(area, base, read))
    return answer({key: _text_of(area, key, value, base) for key, value in area.values.items()})


def is_long_text(value: Value) -> bool:
    """Return True for a text that is stored in chunks and has not been read."""
    return not value.type and isinstance(value.body, Span)


async def _members(area: Area, base: Callable[[], str], read: Read) -> AsyncIterator[bytes]:
    before = b"{"
    for key, value in area.values.items():
        name = before + orjson.dumps(key) + b":"
        before = b","
        if not is_long_text(value):
            yield name + orjson.dumps(_text_of(area, key, value, base))
            continue
        yield name + b'"'
        async for characters in _characters(read(area, value)):
            yield orjson.dumps(characters)[1:-1]
        yield b'"'
    yield b"}"


async def _characters(pieces: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Decode pieces of UTF-8 that may be cut within a character."""
    decode = getincrementaldecoder("utf-8")().decode
    async for piece in pieces:
        yield decode(piece)


def one_key(area: Area, key: str, base: Callable[[], str], read: Read) -> Answer | Stream:
    """Answer one key of an area: the text itself, or the URL of a file. Raises NotFound."""
    value = area.value(key)
    if is_long_text(value):
        return Stream(200, read(area, value), TEXT, (), value.size)
    return Answer(200, _text_of(area, key, value, base).encode(), TEXT)


def _text_of(area: Area, key: str, value: Value, base: Callable[[], str]) -> str:
    if value.type:
        return url(base(), area.collection.name, key)
    assert isinstance(value.body, bytes)
    return value.body.decode()


def refuse(refusal: Refusal, params: tuple[str, ...]) -> Answer:
    body = {"exception": type(refusal).__name__, "message": str(refusal)}
    status = 409 if isinstance(refusal, Changed) else refusal.status
    return Answer(status, orjson.dumps(body), JSON)
