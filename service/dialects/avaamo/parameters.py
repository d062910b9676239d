"""Checks and parses the parameters of requests: agents, users, variables, filters, pages."""

import re
from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

import msgspec

from service.api.dialect import Headers, NoSuchPath, single
from service.api.parsing import form_fields, json_parser, number
from service.storage import keys
from service.storage.errors import Invalid, TooLarge, Unauthenticated, Undeclared
from service.storage.keys import Collection
from service.storage.variables.variables import LAST, NUMBER, PAGE, VALUE_BYTES, Filter

NAME = "avaamo"
NAMESPACE = "agents"
STORAGE_DATA = "storage_data"  # the type of data that Clear Data removes here
BODY_BYTES = 8 * VALUE_BYTES  # the longest body: a character of a value may be escaped, `\\u0001` for one byte
NAME_CHARACTERS = 255  # the longest key or user_layer_id
LAST_OFFSET = 1 << 50  # larger than any list, and exact as a Lua number
LAST_PAGE = 10**18 - 1  # a larger page number counts as this one: both are past the end
DAY = 86_400_000_000  # us
EPOCH = date(1970, 1, 1).toordinal()

_whole = re.compile(r"[0-9]{1,18}").fullmatch
_day = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})").fullmatch
_token = re.compile(r"[!-~]+").fullmatch

MISSING = msgspec.Raw(b"")
NOT_A_VALUE = {b"{": "an object", b"[": "an array", b"n": "null"}  # JSON that is no value, by its first byte


class Setting(msgspec.Struct):
    """The body of a request that sets a variable. `Raw` keeps the text of a number as it was sent."""

    key: str | None = None
    value: msgspec.Raw = MISSING
    bot_id: int | str | None = None


class Clearing(msgspec.Struct):
    data_types: list[str]


class Paging(NamedTuple):
    page: int
    per_page: int

    @property
    def offset(self) -> int:
        return min((self.page - 1) * self.per_page, LAST_OFFSET)


_parse_json = json_parser(Setting)
_parse_clearing = json_parser(Clearing)
_parse_string = json_parser(str)


def credential(headers: Headers) -> str:
    token = single(headers, "Access-Token", Unauthenticated)
    if not _token(token):
        raise Unauthenticated("an access token is needed: Access-Token: YOUR_ACCESS_TOKEN")
    return token


def agent_collection(id: str) -> Collection:
    """Return the collection of an agent's variables. Raises Undeclared for an id that cannot exist.

    Storage decides if the agent is declared.
    """
    if not _whole(id):
        raise Undeclared(f"no such agent {id}")
    return keys.collection(NAME, NAMESPACE, id, "")


def bot_collection(query: Mapping[str, str], setting: Setting | None = None) -> Collection:
    """Return the collection of the agent that `bot_id` names, in the query or else in the body. Raises Invalid."""
    given = query.get("bot_id", setting and setting.bot_id)
    if given is None:
        raise Invalid("`bot_id` is missing")
    if not _whole(id := str(given)):
        raise Invalid("`bot_id` must be an integer, the id of an agent")
    return keys.collection(NAME, NAMESPACE, id, "")


def user_name(user_layer_id: str) -> str:
    return _check_name("user_layer_id", user_layer_id)


def global_key(segment: str) -> str:
    """Return the key in the last segment of a path, before `.json`. Raises NoSuchPath, Invalid."""
    if not segment.endswith(".json"):
        raise NoSuchPath("there is nothing at this path")
    return _check_name("key", segment.removesuffix(".json"))


def parse_setting(headers: Mapping[str, str], body: bytes) -> Setting:
    """Parse a body that sets a variable: JSON, or a form, whose value is a string. Raises Invalid."""
    fields = form_fields(headers.get("Content-Type", ""), body)
    if fields is not None:
        value = msgspec.Raw(msgspec.json.encode(fields["value"])) if "value" in fields else MISSING
        return Setting(fields.get("key"), value, fields.get("bot_id"))
    found: Setting = _parse_json(body)
    return found


def key_of(given: Setting) -> str:
    if given.key is None:
        raise Invalid("`key` is missing")
    return _check_name("key", given.key)


def value_of(given: Setting) -> str:
    """Return the value as text: the content of a string, or a number or boolean as it was sent.

    Raises Invalid, TooLarge.
    """
    raw = bytes(given.value)
    if not raw:
        raise Invalid("`value` is missing")
    if unlawful := NOT_A_VALUE.get(raw[:1]):
        raise Invalid(f"`value` must be a string, a number, true or false, not {unlawful}")
    text: str = _parse_string(raw, "value") if raw[:1] == b'"' else raw.decode()
    if (size := len(text.encode())) > VALUE_BYTES:
        raise TooLarge(f"`value` must have at most {VALUE_BYTES} bytes in UTF-8, not {size}")
    return text


def _check_name(name: str, text: str) -> str:
    if not 0 < len(text) <= NAME_CHARACTERS:
        raise Invalid(f"`{name}` must have 1 to {NAME_CHARACTERS} characters, not {len(text)}")
    return text


def check_clearing(body: bytes) -> None:
    """Check that a request to clear data asks for `storage_data` and nothing else. Raises Invalid."""
    if set(_parse_clearing(body).data_types) != {STORAGE_DATA}:
        raise Invalid(f'`data_types` must be ["{STORAGE_DATA}"]')


def filter_of(query: Mapping[str, str]) -> Filter:
    """Return the filter of a list. Dates are whole days in UTC, the first and the last included. Raises Invalid."""
    user = number(query, "user_id", None, 0)
    start, end = day(query, "start_date"), day(query, "end_date" if "end_date" in query else "to_date")
    if start is not None and end is not None and end < start:
        raise Invalid("To Date cannot be before From Date")
    return Filter(
        user=None if user is None else user if 0 < user < NUMBER else NUMBER,  # no user has 0, or NUMBER and more
        key=query.get("key"),
        value=query.get("value"),
        since=0 if start is None else _moment(start),
        until=LAST if end is None else _moment(end + 1),
    )


def day(query: Mapping[str, str], name: str) -> int | None:
    """Return a parameter dd/mm/yyyy as days since 1970-01-01; None if it is absent. Raises Invalid."""
    text = query.get(name)
    if text is None:
        return None
    try:
        if (match := _day(text)) is None:
            raise ValueError
        return date(int(match[3]), int(match[2]), int(match[1])).toordinal() - EPOCH
    except ValueError:
        raise Invalid(f"`{name}` must be a date, dd/mm/yyyy, not '{text[:40]}'") from None


def _moment(days: int) -> int:
    return max(0, min(days * DAY, LAST))


def paging(query: Mapping[str, str]) -> Paging:
    page, per_page = number(query, "page", 1, 1), number(query, "per_page", 25, 1)
    return Paging(min(page, LAST_PAGE), min(per_page, PAGE))
