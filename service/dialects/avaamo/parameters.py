"""Checked parameters of a request: agents, users, variables, filters, pages."""

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
STORAGE_DATA = "storage_data"  # the type of data that is cleared here
BODY_BYTES = 8 * VALUE_BYTES  # of a request: a value's character may be escaped, `\\u0001` for one byte
NAME_CHARACTERS = 255  # of a key, of a user_layer_id
LAST_OFFSET = 1 << 50  # beyond any list, and exact as a Lua number
LAST_PAGE = 10**18 - 1  # a larger number of a page is this one: both are past the end
DAY = 86_400_000_000  # us
EPOCH = date(1970, 1, 1).toordinal()

_whole = re.compile(r"[0-9]{1,18}").fullmatch
_day = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})").fullmatch
_token = re.compile(r"[!-~]+").fullmatch

MISSING = msgspec.Raw(b"")
NO_VALUES = {b"{": "an object", b"[": "an array", b"n": "null"}  # by their first byte


class Setting(msgspec.Struct):
    """The body of a set. `Raw` keeps the text of a number as it was sent."""

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


_setting = json_parser(Setting)
_clearing = json_parser(Clearing)
_string = json_parser(str)


def credential(headers: Headers) -> str:
    token = single(headers, "Access-Token", Unauthenticated)
    if not _token(token):
        raise Unauthenticated("an access token is needed: Access-Token: YOUR_ACCESS_TOKEN")
    return token


def agent(id: str) -> Collection:
    """The variables of an agent; whether there is such an agent, storage knows."""
    if not _whole(id):
        raise Undeclared(f"no such agent {id}")
    return keys.collection(NAME, NAMESPACE, id, "")


def bot(query: Mapping[str, str], setting: Setting | None = None) -> Collection:
    """The agent that `bot_id` names, in the query or else in the body."""
    given = query.get("bot_id", setting and setting.bot_id)
    if given is None:
        raise Invalid("`bot_id` is missing")
    if not _whole(str(given)):
        raise Invalid("`bot_id` must be an integer, the id of an agent")
    return agent(str(given))


def layer(user_layer_id: str) -> str:
    return _lawful("user_layer_id", user_layer_id)


def global_key(segment: str) -> str:
    """The key that a path ends with, before `.json`."""
    if not segment.endswith(".json"):
        raise NoSuchPath("there is nothing at this path")
    return _lawful("key", segment.removesuffix(".json"))


def setting(headers: Mapping[str, str], body: bytes) -> Setting:
    """A body, JSON or a form, whose fields are texts."""
    fields = form_fields(headers.get("Content-Type", ""), body)
    if fields is not None:
        value = msgspec.Raw(msgspec.json.encode(fields["value"])) if "value" in fields else MISSING
        return Setting(fields.get("key"), value, fields.get("bot_id"))
    found: Setting = _setting(body)
    return found


def key_of(given: Setting) -> str:
    if given.key is None:
        raise Invalid("`key` is missing")
    return _lawful("key", given.key)


def value_of(given: Setting) -> str:
    """The value as text: a string's own, that of a number or a boolean as it was sent."""
    raw = bytes(given.value)
    if not raw:
        raise Invalid("`value` is missing")
    if unlawful := NO_VALUES.get(raw[:1]):
        raise Invalid(f"`value` must be a string, a number, true or false, not {unlawful}")
    text: str = _string(raw, "value") if raw[:1] == b'"' else raw.decode()
    if (size := len(text.encode())) > VALUE_BYTES:
        raise TooLarge(f"`value` must have at most {VALUE_BYTES} bytes in UTF-8, not {size}")
    return text


def _lawful(name: str, text: str) -> str:
    if not 0 < len(text) <= NAME_CHARACTERS:
        raise Invalid(f"`{name}` must have 1 to {NAME_CHARACTERS} characters, not {len(text)}")
    return text


def clearing(body: bytes) -> None:
    """Found to ask for nothing but what is kept here."""
    if set(_clearing(body).data_types) != {STORAGE_DATA}:
        raise Invalid(f'`data_types` must be ["{STORAGE_DATA}"]')


def filtered(query: Mapping[str, str]) -> Filter:
    """Dates are whole days in UTC, both ends included."""
    user = number(query, "user_id", None, 0)
    start, end = day(query, "start_date"), day(query, "end_date" if "end_date" in query else "to_date")
    if start is not None and end is not None and end < start:
        raise Invalid("To Date cannot be before From Date")
    return Filter(
        user=None if user is None else user if 0 < user < NUMBER else NUMBER,  # nobody has 0, nor so large a one
        key=query.get("key"),
        value=query.get("value"),
        since=0 if start is None else _moment(start),
        until=LAST if end is None else _moment(end + 1),
    )


def day(query: Mapping[str, str], name: str) -> int | None:
    """Days since 1970 of a date dd/mm/yyyy."""
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
