"""Parsers of query parameters and bodies for all dialects. They raise Invalid, which names the parameter and the error.

An empty parameter counts as absent (`Request.query` leaves it out). Numbers, flags and choices are read only here, so
that every dialect accepts the same spellings.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from service.api.forms import unescaped
from service.storage.errors import Invalid

FORM = "application/x-www-form-urlencoded"
FORM_FIELDS = 100
SHOWN = 40  # characters of an invalid value that the message repeats

# msgspec's names of JSON's types, in the order in which a message lists them.
TYPES = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}

T = TypeVar("T")
Default = TypeVar("Default")

_whole = re.compile(r"-?[0-9]{1,4000}", re.ASCII).fullmatch
_json = re.compile(rb"[ \t\r\n]*[{\[]").match
_surrogate = re.compile(rb"\\u[dD][89a-fA-F]").search
_position = re.compile(r" - at `\$(.*)`\Z").search
_byte = re.compile(r"\(byte ([0-9]+)\)").search
_types = re.compile(r"Expected `([^`]+)`, got `(\w+)`").match
_bound = re.compile(r"Expected `(\w+)`( of length)? ([<>]=?) (\S+)").match
_member = re.compile(r"Object (?:missing required|contains unknown) field `(.*?)`").match


def flag(query: Mapping[str, str], name: str) -> bool:
    """Return a boolean parameter: true or false in any case, 1 or 0; False if it is absent. Raises Invalid."""
    return bool(choice(query, name, "false", {"true": True, "false": False, "1": True, "0": False}))


def choice(query: Mapping[str, str], name: str, default: str, values: Mapping[str, T]) -> T:
    """Return the value that a parameter's word stands for in `values`, regardless of case. Raises Invalid."""
    word = query.get(name, default)
    if word in values:
        return values[word]
    for each, value in values.items():
        if each.lower() == word.lower():
            return value
    raise Invalid(f"`{name}` must be one of {', '.join(values)}, not {_shown(word)}")


def number(query: Mapping[str, str], name: str, default: Default, least: int, most: int | None = None) -> int | Default:
    """Return a whole number from `least` to `most`, or the default if the parameter is absent. Raises Invalid."""
    text = query.get(name)
    if text is None:
        return default
    if not _whole(text):
        raise Invalid(f"`{name}` must be a whole number, not {_shown(text)}")
    found = int(text)
    if found < least:
        raise Invalid(f"`{name}` must be at least {least}, not {_shown(text)}")
    if most is not None and found > most:
        raise Invalid(f"`{name}` must be at most {most}, not {_shown(text)}")
    return found


def _shown(text: str) -> str:
    return f"'{text}'" if len(text) <= SHOWN else f"'{text[:SHOWN]}...'"


def form_fields(type: str, body: bytes) -> dict[str, str] | None:
    """Return the fields of a URL-encoded form, or None if the body is not a form. The last of repeated fields counts.

    A body that begins with `{` or `[` is JSON regardless of its Content-Type: `curl -d` labels every body a form.
    Raises Invalid.
    """
    if type.partition(";")[0].strip().lower() != FORM or _json(body) or not body.strip():
        return None
    if body.count(b"&") >= FORM_FIELDS:
        raise Invalid(f"the form must have at most {FORM_FIELDS} fields")
    pairs = [field.partition(b"=") for field in body.split(b"&") if field]
    try:
        return {unescaped(name).decode(): unescaped(value).decode() for name, _, value in pairs}
    except UnicodeDecodeError:
        raise Invalid("the form must be UTF-8") from None


def json_parser(type: Any, *, lax: bool = False) -> Callable[..., Any]:
    """Return a function that parses JSON into `type` and raises Invalid.

    The function takes the bytes and, if they are not the whole body, the name of the member or field that holds them.
    `lax`: it also accepts a string for a number, and `"true"`, `"false"`, 1 and 0 for a boolean.
    """
    decode = msgspec.json.Decoder(type, strict=not lax).decode

    def parse(text: bytes, name: str = "") -> Any:
        try:
            if not text.isascii():
                text.decode()
            return decode(text)
        except UnicodeDecodeError as error:
            raise Invalid(f"{_subject(name)} must be UTF-8; byte {error.start} is not") from None
        except RecursionError:
            raise Invalid(f"{_subject(name)} is nested too deeply") from None
        except msgspec.ValidationError as error:
            raise Invalid(mistake(error, name)) from None
        except msgspec.DecodeError as error:
            raise Invalid(_malformed(error, text, name)) from None

    return parse


# Checks the syntax of a text and builds no objects: 10 MB of empty arrays take 50 ms and no memory. `orjson.loads`
# builds 3,400,000 lists from them, in 3 s and 270 MB. msgspec.Raw does not check the bytes inside strings.
_any = json_parser(msgspec.Raw)


def validate(body: bytes) -> None:
    """Raise Invalid unless the body is one JSON value in UTF-8."""
    _any(body)


def mistake(error: msgspec.ValidationError, name: str = "") -> str:
    """Return the message for an error of msgspec: the member with an invalid type or value, and what it must be.

    `name` is the parameter or member that was parsed; without it, it is the body.
    """
    text = str(error)
    position = _position(text)
    path = name + position[1] if position else name
    subject = _subject(path)
    if found := _types(text):
        wanted = [word for type, word in TYPES.items() if type in found[1].split(" | ") and type != "null"]
        return f"{subject} must be {' or '.join(wanted) or 'null'}, not {TYPES.get(found[2], found[2])}"
    if found := _bound(text):
        unit = {"str": " character", "array": " item", "object": " member"}.get(found[1], "") if found[2] else ""
        plural = "s" if unit and found[4] != "1" else ""
        return f"{subject} must {'have' if unit else 'be'} {BOUNDS[found[3]]} {found[4]}{unit}{plural}"
    if found := _member(text):
        return f"{_subject(f'{path}.{found[1]}')} {'is missing' if 'missing' in found[0] else 'is unknown'}"
    return f"{subject} has a value that is not allowed"


def _malformed(error: msgspec.DecodeError, text: bytes, name: str) -> str:
    subject = _subject(name)
    if not text.strip():
        return f"{subject} is empty"
    if at := _byte(str(error)):
        return f"{subject} must be JSON; the error is at byte {at[1]}"
    also = " or has an escape that is half of a surrogate pair" if _surrogate(text) else ""
    return f"{subject} must be JSON, but is cut off{also}"


def _subject(path: str) -> str:
    return f"`{path.lstrip('.')}`" if path else "the body"
