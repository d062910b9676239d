"""What a request says, checked: agents, users, variables, filters, pages."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

import msgspec

from service.dialect import Headers, NoSuchPath, single
from service.storage import keys
from service.storage.errors import Invalid, NotFound, TooLarge, Unauthenticated
from service.storage.keys import Collection
from service.storage.variables import LAST, NUMBER, PAGE, VALUE_BYTES, Filter

NAME = "avaamo"
NAMESPACE = "agents"
STORAGE_DATA = "storage_data"  # the type of data that is cleared here
BODY_BYTES = 8 * VALUE_BYTES  # of a request: a value's character may be escaped, `\\u0001` for one byte
NAME_CHARACTERS = 255  # of a key, of a user_layer_id
LAST_OFFSET = 1 << 50  # beyond any list, and exact as a Lua number
DAY = 86_400_000_000  # us
EPOCH = date(1970, 1, 1).toordinal()

_whole = re.compile(r"[0-9]{1,18}").fullmatch
_quoted = re.compile(r'"([0-9]{1,18})"').fullmatch
_day = re.compile(r"([0-9]{2})/([0-9]{2})/([0-9]{4})").fullmatch
_token = re.compile(r"[!-~]+").fullmatch


MISSING = msgspec.Raw(b"")


class Setting(msgspec.Struct):
    """The body of a set, where what is missing is empty. `Raw` keeps the text of a number as it was sent."""

    key: msgspec.Raw = MISSING
    value: msgspec.Raw = MISSING
    bot_id: msgspec.Raw = MISSING


class Clearing(msgspec.Struct):
    data_types: list[str]


class Paging(NamedTuple):
    page: int
    per_page: int

    @property
    def offset(self) -> int:
        return min((self.page - 1) * self.per_page, LAST_OFFSET)


_setting = msgspec.json.Decoder(Setting).decode
_clearing = msgspec.json.Decoder(Clearing).decode
_string = msgspec.json.Decoder(str).decode


def credential(headers: Headers) -> str:
    token = single(headers, "Access-Token", Unauthenticated)
    if not _token(token):
        raise Unauthenticated("an access token is needed: Access-Token: YOUR_ACCESS_TOKEN")
    return token


def agent(id: str) -> Collection:
    """The variables of an agent; whether there is such an agent, storage knows."""
    if not _whole(id):
        raise NotFound("there is no such agent")
    return keys.collection(NAME, NAMESPACE, id, "")


def bot(query: Mapping[str, str], setting: Setting | None = None) -> Collection:
    """The agent that `bot_id` names, in the query or else in the body."""
    given = query.get("bot_id")
    if given is not None:
        found = _whole(given)
    elif setting is not None and bytes(setting.bot_id):
        text = bytes(setting.bot_id).decode()
        quoted = _quoted(text)
        given, found = (quoted[1], quoted) if quoted else (text, _whole(text))
    else:
        raise Invalid("bot_id is missing")
    if not found or given is None:
        raise Invalid("bot_id is to be an integer")
    return agent(given)


def layer(user_layer_id: str) -> str:
    if not 0 < len(user_layer_id) <= NAME_CHARACTERS:
        raise Invalid(f"user_layer_id is to have 1 to {NAME_CHARACTERS} characters")
    return user_layer_id


def global_key(segment: str) -> str:
    """The key that a path ends with, before `.json`."""
    if not segment.endswith(".json"):
        raise NoSuchPath("there is nothing at this path")
    return _lawful(segment.removesuffix(".json"))


def setting(body: bytes) -> Setting:
    found: Setting = _decoded(_setting, body)
    return found


def key_of(given: Setting) -> str:
    if not bytes(given.key):
        raise Invalid("key is missing")
    if bytes(given.key)[:1] != b'"':
        raise Invalid("key is to be a string")
    return _lawful(_decoded(_string, bytes(given.key)))


def value_of(given: Setting) -> str:
    """The value as text: a string's own, that of a number or a boolean as it was sent."""
    raw = bytes(given.value)
    if not raw:
        raise Invalid("value is missing")
    if raw[:1] in (b"{", b"[", b"n"):
        raise Invalid("value is to be a string, a number or a boolean")
    text: str = _decoded(_string, raw) if raw[:1] == b'"' else raw.decode()
    if len(text.encode()) > VALUE_BYTES:
        raise TooLarge(f"value is over the limit of {VALUE_BYTES} bytes")
    return text


def _lawful(key: str) -> str:
    if not 0 < len(key) <= NAME_CHARACTERS:
        raise Invalid(f"key is to have 1 to {NAME_CHARACTERS} characters")
    return key


def clearing(body: bytes) -> None:
    """Found to ask for nothing but what is kept here."""
    wanted = _decoded(_clearing, body).data_types
    if not wanted or set(wanted) != {STORAGE_DATA}:
        raise Invalid(f'data_types is to be ["{STORAGE_DATA}"]')


def _decoded(decode: Any, body: bytes) -> Any:
    try:
        if not body.isascii():
            body.decode()
        return decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"the body cannot be understood: {error}") from None
    except RecursionError:
        raise Invalid("the body is nested too deep") from None


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
        raise Invalid(f"{name} is to be a date, dd/mm/yyyy") from None


def _moment(days: int) -> int:
    return max(0, min(days * DAY, LAST))


def number(query: Mapping[str, str], name: str, default: int | None, least: int) -> int | None:
    text = query.get(name)
    if text is None:
        return default
    if not _whole(text) or int(text) < least:
        raise Invalid(f"{name} is to be an integer" + (f" from {least} on" if least else ""))
    return int(text)


def paging(query: Mapping[str, str]) -> Paging:
    page, per_page = number(query, "page", 1, 1), number(query, "per_page", 25, 1)
    return Paging(page or 1, min(per_page or 1, PAGE))
