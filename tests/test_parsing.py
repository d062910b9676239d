"""Tests the messages for wrong parameters and bodies: they name the place and what would be right."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
import pytest

from service.api.parsing import FORM, FORM_FIELDS, choice, flag, form_fields, json_parser, number
from service.storage.errors import Invalid


class Body(msgspec.Struct, forbid_unknown_fields=True):
    id: int | str | None = None
    ids: list[int | str] | None = None
    size: float = 0
    on: bool = False
    of: dict[str, list[int]] = {}
    raw: msgspec.Raw = msgspec.Raw(b"")


class Bounded(msgspec.Struct, kw_only=True):
    n: Annotated[int, msgspec.Meta(ge=1, le=5)] = 1
    text: Annotated[str, msgspec.Meta(min_length=1)] = "a"
    items: Annotated[list[int], msgspec.Meta(max_length=1)] = []
    word: Literal["a", "b"] = "a"
    needed: bool


parse = json_parser(Body)

MISTAKES = [
    (b"", "the body is empty"),
    (b" \r\n", "the body is empty"),
    (b"[]", "the body must be an object, not an array"),
    (b'{"id":[]}', "`id` must be a string or an integer, not an array"),
    (b'{"ids":[1,null]}', "`ids[1]` must be a string or an integer, not null"),
    (b'{"ids":3}', "`ids` must be an array, not an integer"),
    (b'{"size":"x"}', "`size` must be a number, not a string"),
    (b'{"on":1}', "`on` must be true or false, not an integer"),
    (b'{"of":{"a":[1,"x"]}}', "`of[...][1]` must be an integer, not a string"),
    (b'{"size":1e999}', "`size` has a value that is not allowed"),
    (b'{"other":1}', "`other` is unknown"),
    (b'{"id":1,}', "the body must be JSON; the error is at byte 8"),
    (b"{} x", "the body must be JSON; the error is at byte 4"),
    (b'{"id":', "the body must be JSON, but is cut off"),
    (b'{"id":"\\ud800"}', "the body must be JSON, but is cut off or has an escape that is half of a surrogate pair"),
    (b'{"id":"\xff"}', "the body must be UTF-8; byte 7 is not"),
    (b'{"raw":' + b"[" * 100_000, "the body is nested too deeply"),
]
BOUNDED = [
    (b'{"n":0}', "`n` must be at least 1"),
    (b'{"n":6}', "`n` must be at most 5"),
    (b'{"text":""}', "`text` must have at least 1 character"),
    (b'{"items":[1,2]}', "`items` must have at most 1 item"),
    (b'{"word":"c"}', "`word` has a value that is not allowed"),
    (b"{}", "`needed` is missing"),
]


def refused(read: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(Invalid) as caught:
        read(*arguments)
    return str(caught.value)


@pytest.mark.parametrize(("body", "message"), MISTAKES)
def test_the_message_names_the_error_in_a_body(body: bytes, message: str) -> None:
    assert refused(parse, body) == message


@pytest.mark.parametrize(("body", "message"), BOUNDED)
def test_the_message_names_the_limit_that_a_member_exceeds(body: bytes, message: str) -> None:
    assert refused(json_parser(Bounded), body) == message


def test_a_message_names_a_form_field() -> None:
    assert refused(json_parser(list[int]), b'["x"]', "ids") == "`ids[0]` must be an integer, not a string"
    assert refused(json_parser(list[int]), b"{}", "ids") == "`ids` must be an array, not an object"
    assert refused(json_parser(list[int]), b"[1,", "ids") == "`ids` must be JSON, but is cut off"


def test_words_are_accepted_in_any_case() -> None:
    sorts = {"createdAt": 1, "key": 2}
    assert [choice({"by": word}, "by", "key", sorts) for word in ("createdAt", "CREATEDAT", "createdat")] == [1, 1, 1]
    assert choice({}, "by", "key", sorts) == 2
    assert refused(choice, {"by": "name"}, "by", "key", sorts) == "`by` must be one of createdAt, key, not 'name'"
    assert [flag({"on": word}, "on") for word in ("true", "TRUE", "True", "1")] == [True] * 4
    assert [flag({"on": word}, "on") for word in ("false", "FALSE", "0")] == [False] * 3
    assert not flag({}, "on")
    assert refused(flag, {"on": "yes"}, "on") == "`on` must be one of true, false, 1, 0, not 'yes'"


NUMBERS = [
    ("1001", "`limit` must be at most 1000, not '1001'"),
    ("0", "`limit` must be at least 1, not '0'"),
    ("-1", "`limit` must be at least 1, not '-1'"),
    ("9" * 4000, f"`limit` must be at most 1000, not '{'9' * 40}...'"),
    *(
        (text, f"`limit` must be a whole number, not '{text}'")
        for text in ("1.0", "1e2", "+5", "all", " ", "\u0661", "1\n")
    ),
    ("9" * 5000, f"`limit` must be a whole number, not '{'9' * 40}...'"),
]


@pytest.mark.parametrize(("text", "message"), NUMBERS, ids=[f"{text:.9}" for text, _ in NUMBERS])
def test_the_message_names_the_limit_that_a_number_exceeds(text: str, message: str) -> None:
    assert refused(number, {"limit": text}, "limit", 50, 1, 1000) == message


def test_a_number_without_a_limit_may_be_large() -> None:
    assert number({"page": "9" * 30}, "page", 1, 1) == 10**30 - 1
    assert number({}, "user", None, 0) is None


def test_a_body_that_begins_like_json_is_json_with_any_content_type() -> None:
    form = f"{FORM}; charset=utf-8"
    assert form_fields(form, b"a=1&b=&a=%C3%A9+x") == {"a": "\u00e9 x", "b": ""}
    assert [form_fields(form, body) for body in (b'{"a":1}', b" \r\n[1]", b"", b" \n")] == [None] * 4
    assert form_fields("application/json", b"a=1") is None
    assert form_fields("", b"a=1") is None
    assert refused(form_fields, form, b"a=%FF") == "the form must be UTF-8"
    assert refused(form_fields, form, b"\xff=1") == "the form must be UTF-8"
    assert (
        refused(form_fields, form, b"a=1&" * FORM_FIELDS + b"a=1") == f"the form must have at most {FORM_FIELDS} fields"
    )
