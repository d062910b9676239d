"""Tests forms: multipart and URL-encoded forms give the same fields, however the body is divided into pieces."""

import random
from collections.abc import AsyncIterator
from urllib.parse import unquote_to_bytes, urlencode

import pytest

from service.api.dialect import Unsupported
from service.api.forms import PORTION, Limits, parts, pieces_of, text, unescaped
from service.storage.errors import Invalid, Refusal, TooLarge

ROOMY = Limits(1000, 1_000_000, 10_000_000)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
FIELDS = [
    ("a", "1"),
    ("é&=%", "100% + é\U0001f600"),
    ("empty", ""),
    ("a", "2"),
    ("long", "x+y&z=%" * 500),
    ("b", "%zz"),
]


async def cut(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def read(
    headers: dict[str, str], body: bytes, size: int = 65_536, limits: Limits = ROOMY
) -> list[tuple[str, str]]:
    """Read a form as it arrives; check that it equals the form parsed as a whole; return its names and texts."""
    outcomes: list[list[tuple[str, str]] | Refusal] = []
    for complete in (False, True):
        found = []
        try:
            async for part in parts(
                headers, cut(body, len(body) or 1 if complete else size), limits, complete=complete
            ):
                found.append((part.name, b"".join([piece async for piece in pieces_of(text(part))]).decode()))
        except Refusal as refusal:
            outcomes.append(refusal)
        else:
            outcomes.append(found)
    arriving, arrived = outcomes
    if isinstance(arrived, Refusal):
        assert type(arriving) is type(arrived)
        raise arrived
    assert arriving == arrived
    return arrived


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 65_536])
async def test_a_url_encoded_form_is_read_wherever_it_is_cut(size: int) -> None:
    assert await read(FORM, urlencode(FIELDS).encode(), size) == FIELDS


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 65_536])
async def test_a_multipart_form_is_read_wherever_it_is_cut(size: int) -> None:
    fields = [(name, value) for name, value in FIELDS if name != "é&=%"]
    body = "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields)
    headers = {"Content-Type": 'Multipart/Form-Data; boundary="b"'}
    assert await read(headers, body.encode() + b"--b--\r\n", size) == fields


async def test_unusual_url_encoded_forms_are_read_as_browsers_write_them() -> None:
    for body, fields in {
        b"": [],
        b"&&": [],
        b"a": [("a", "")],
        b"a&b=1&": [("a", ""), ("b", "1")],
        b"a=b=c": [("a", "b=c")],
        b"a=%4": [("a", "%4")],
        b"a=%": [("a", "%")],
        b"%61=+": [("a", " ")],
        b"a=1&a": [("a", "1"), ("a", "")],
    }.items():
        for size in (1, 2, 100):
            assert await read(FORM, body, size) == fields, (body, size)


async def test_random_bodies_are_read_or_refused() -> None:
    chance = random.Random(7)
    for _ in range(2000):
        body = bytes(chance.choice(b"ab=&%+1\xff\r\n-") for _ in range(chance.randrange(40)))
        outcomes = set()
        for size in (1, 3, 100):
            try:
                outcomes.add(str(await read(FORM, body, size)))
            except Invalid:
                outcomes.add("refused")
        assert len(outcomes) == 1, body


async def test_unread_parts_are_skipped() -> None:
    names = [part.name async for part in parts(FORM, cut(urlencode(FIELDS).encode(), 5), ROOMY)]
    assert names == [name for name, _ in FIELDS]


@pytest.mark.parametrize("size", [1, 50, 100_000])
async def test_each_limit_is_exact_to_the_byte(size: int) -> None:
    limits = Limits(2, 10, 1000)
    assert await read(FORM, b"a=" + b"x" * 10 + b"&b=" + b"%41" * 10, size, limits) == [
        ("a", "x" * 10),
        ("b", "A" * 10),
    ]
    for body in (b"a=" + b"x" * 11, b"a=" + b"%41" * 11, b"a=1&b=1&c=1", b"n" * 4000):
        with pytest.raises(TooLarge):
            await read(FORM, body, size, limits)


@pytest.mark.parametrize("type", ["application/json", "text/plain", "", "multipart/mixed; boundary=b"])
async def test_a_body_that_is_not_a_form_is_not_read(type: str) -> None:
    with pytest.raises(Unsupported):
        await read({"Content-Type": type, "Content-Length": "3"}, b"a=1")
    with pytest.raises(Unsupported):
        await read({"Content-Type": type, "Transfer-Encoding": "chunked"}, b"")


PART = b'--b\r\nContent-Disposition: form-data; name="n"\r\n'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (PART + b"\r\n" + b"x" * 11 + b"\r\n--b--\r\n", "a part of the form must have at most 10 bytes"),
        ((PART + b"\r\n\r\n") * 3 + b"--b--\r\n", "the form must have at most 2 parts"),
        (
            PART + b"X: x\r\n" * 20 + b"\r\n\r\n--b--\r\n",
            "a part of the form must have at most 16 headers of at most 8192 bytes",
        ),
        (
            PART + b"X: " + b"x" * 9000 + b"\r\n\r\n",
            "a part of the form must have at most 16 headers of at most 8192 bytes",
        ),
        (PART, "the multipart form is malformed or cut off"),
    ],
)
async def test_the_refusal_names_the_exceeded_limit_with_its_number(body: bytes, message: str) -> None:
    for size in (1, 100_000):
        with pytest.raises((TooLarge, Invalid), match=f"^{message}$"):
            await read({"Content-Type": "multipart/form-data; boundary=b"}, body, size, Limits(2, 10, 100_000))


@pytest.mark.parametrize("unit", [b"%41", b"%", b"%%4", b"a%4", b"+%2B", "é%C3%A9".encode()], ids=repr)
def test_a_long_value_is_decoded_like_a_short_one(unit: bytes) -> None:
    for start in range(8):
        value = b"abcdefgh"[start:] + unit * (2 * PORTION // len(unit))
        assert unescaped(value) == unquote_to_bytes(value.replace(b"+", b" "))


async def named(disposition: str) -> str | None:
    """Return the file name in a form whose part has this Content-Disposition."""
    body = f"--b\r\nContent-Disposition: {disposition}\r\n\r\nx\r\n--b--\r\n".encode()
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    (filename,) = [part.filename async for part in parts(headers, cut(body, 99), ROOMY)]
    return filename


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ("", None),
        ('; filename="a.txt"', "a.txt"),
        ('; filename=""', ""),
        ("; filename*=UTF-8''%e2%82%ac%20rates", "€ rates"),
        ("; filename*=utf-8'en'a", "a"),
        ("; filename*=UTF-8''", ""),
        ("; filename*=iso-8859-1''%E9", "é"),
        ("; FILENAME*=UTF-8''a", "a"),
        (";filename* = UTF-8''a", "a"),
        ("; filename=\"b\"; filename*=UTF-8''a", "a"),
        ("; filename*=UTF-8''a; filename=\"b\"", "a"),
        ("; filename=\"; filename*=UTF-8''a\"", "; filename*=UTF-8''a"),
        ("; filename*=\"UTF-8''a%20b\"", "a b"),
        ('; filename="=?UTF-8?B?4oKsLnR4dA==?="', "€.txt"),
        ('; filename="=?utf-8?q?=E2=82=AC_a.txt?="', "€ a.txt"),
        ('; filename="=?utf-8*en?Q?a?= =?iso-8859-1?Q?=E9?=.txt"', "aé.txt"),
        ('; filename="=?UTF-8?B?YQ?="', "a"),
        ('; filename="a=?b"', "a=?b"),
        ('; filename="=?what?"', "=?what?"),
        ('; filename="50%.txt"', "50%.txt"),
    ],
)
async def test_a_file_has_the_name_of_its_part(parameters: str, name: str | None) -> None:
    assert await named(f'form-data; name="f"{parameters}') == name


@pytest.mark.parametrize(
    "parameters",
    [
        "; filename*=a",
        "; filename*=UTF-8'a",
        "; filename*=UTF-8''%zz",
        "; filename*=UTF-8''a%",
        "; filename*=UTF-8''%E9",
        "; filename*=base64''YQ",
        "; filename*=''a",
        "; filename*=nonsense''a",
        "; filename*=utf-16''%61",
        '; filename="=?nonsense?B?YQ==?="',
        '; filename="=?utf-8?B?Y?="',
        '; filename="=?utf-8?B?Y!==?="',
        '; filename="=?utf-8?Q?=zz?="',
        '; filename="=?utf-8?B?6Q==?="',
    ],
)
async def test_a_name_that_cannot_be_read_is_refused(parameters: str) -> None:
    with pytest.raises(Invalid, match="of a part"):
        await named(f'form-data; name="f"{parameters}')
