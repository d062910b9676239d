"""Targets of fuzzing guided by coverage that are functions of bytes: the splice, the join, forms.

A target gets any bytes, and raises an exception if a result is wrong. The fuzzer starts with `SEEDS`.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import NamedTuple, cast

import orjson

from service.api.forms import Limits, parts, pieces_of, text
from service.storage.errors import Mismatched, Refusal
from service.storage.records.join import join
from service.storage.records.splice import splice
from tests.storage.splice.reference import merge

Target = Callable[[bytes], None]


class Fuzzed(NamedTuple):
    """A target, and its first inputs."""

    target: Target
    seeds: tuple[bytes, ...]


JSON = (
    b'{"a":1,"b":{"c":[1,2.50,{"d":null}],"\\u0061":"x\\"y"}}\x00{"b":{"c":null,"e":{"f":null}},"a":{"g":1}}',
    b' { "a" : [ ] , "a" : { "b" : "\xc3\xa9" } , "c" : -0.1e-7 } \x00 { "a" : { "b" : null , "b" : "2" } , "z" : {} }',
    b"[1,2]\x00[3]",
    b'[ ]\x00"x"',
    b'"x"\x00"y"',
    b'{"a":1}\x00[1]',
    b'{"n":12345678901234567890}\x00{"n":null}',
)


def _texts(data: bytes) -> tuple[bytes, bytes] | None:
    """Split the input into two JSON texts, at a NUL; None if the service would refuse one of them."""
    one, _, other = data.partition(b"\x00")
    try:
        orjson.loads(one)
        orjson.loads(other)
    except orjson.JSONDecodeError:
        return None
    return one, other


def spliced(data: bytes) -> None:
    """Check that a merge patch gives the same bytes as the slow and simple reference."""
    if (texts := _texts(data)) is None:
        return
    target, patch = texts
    with suppress(RecursionError):  # raised by the reference
        expected = merge(target.decode(), patch.decode()).encode()
        if patch.lstrip()[:1] == b"{":
            assert splice(target, patch) == expected, f"{target!r} {patch!r}"


def joined(data: bytes) -> None:
    """Check that the result contains both arrays or objects, as another JSON parser reads them."""
    if (texts := _texts(data)) is None:
        return
    there, added = map(orjson.loads, texts)
    try:
        result = orjson.loads(join(*texts))
    except Mismatched:
        assert not isinstance(there, list)
        assert type(there) is not type(added) or not isinstance(there, str | dict)
        return
    if isinstance(there, list):
        assert result == [*there, *(added if isinstance(added, list) else [added])]
    else:
        assert result == (there | added if isinstance(there, dict) else there + added)


TYPES = ("multipart/form-data; boundary=b", "application/x-www-form-urlencoded", "multipart/form-data; boundary=")
LIMITS = Limits(parts=20, part_bytes=500, bytes=2000)


Form = list[tuple[str, str | None, bytes]] | str


async def _form(type: str, pieces: Iterable[bytes], complete: bool = False) -> Form:
    """Return all parts of a form, or the name of its refusal. `complete`: the form is parsed as a whole."""

    async def arriving() -> AsyncIterator[bytes]:
        for piece in filter(None, pieces):
            yield piece

    found = []
    try:
        async for part in parts({"Content-Type": type}, arriving(), LIMITS, complete=complete):
            content = part.content if part.filename is not None else text(part)
            found.append((part.name, part.filename, b"".join([piece async for piece in pieces_of(content)])))
    except Refusal as refusal:
        return refusal.__class__.__name__
    return found


def _result(form: Coroutine[None, None, Form]) -> Form:
    """Return the result of a coroutine that waits for nothing, without an event loop."""
    try:
        form.send(None)
    except StopIteration as done:
        return cast(Form, done.value)
    raise AssertionError("it waits for something")


def formed(data: bytes) -> None:
    """Check that a form gives the same parts in any pieces and as a whole."""
    if len(data) < 2:
        return
    type, cut, body = TYPES[data[0] % len(TYPES)], data[1], data[2:]
    whole = _result(_form(type, [body]))
    assert whole == _result(_form(type, [body[:cut], body[cut:]]))
    assert whole == _result(_form(type, [body], complete=True))


FORMS = (
    b'\x00\x28--b\r\nContent-Disposition: form-data; name="k"\r\n\r\nv\r\n--b--\r\n',
    b'\x00\x50--b\r\nContent-Disposition: form-data; name="f"; filename="q.txt"\r\nContent-Type: text/plain\r\n\r\n'
    b'--\r\n--b\r\nContent-Disposition: form-data; name="t"\r\nContent-Type: text/plain; charset=utf-16\r\n\r\n'
    b"\xff\xfea\x00\r\n--b--\r\n",
    b"\x01\x05a=1&b=%41+c&a&=&%C3%A9=%",
    b"\x02\x05--\r\n",
)

TARGETS = {"splice": Fuzzed(spliced, JSON), "join": Fuzzed(joined, JSON), "forms": Fuzzed(formed, FORMS)}
