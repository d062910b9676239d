"""Checks the parameters of requests in the order of the vendor's codes: missing ones, keys, the extension's version.

A body is JSON or a form. The value inside it is not decoded: its bytes are stored unchanged.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import msgspec
import orjson
from msgspec import Raw, Struct

from service.api.dialect import Request
from service.api.parsing import choice, flag, form_fields, json_parser
from service.dialects.auravant.access import ID_LENGTH
from service.dialects.auravant.refusals import BadKey, BadVersion, Missing, NotClaimed
from service.dialects.auravant.roles import NAME
from service.storage import keys
from service.storage.errors import Invalid, NotFound, TooLarge, Undeclared
from service.storage.keys import Collection
from service.storage.records import offload

CLAIM = "storage"
READ_VALUES = 20_000  # limit of values (ids times keys) in one request
READ_KEYS = 1_000  # limit of keys in one request
SHORT_BYTES = 4096  # a body up to this size is parsed on the event loop, a larger one in a thread
KEY_CHARACTERS = 200  # the longest key

NULL = Raw(b"null")  # a member that is null counts as absent

Id = str | int
T = TypeVar("T")
OPERATIONS = {name: name for name in ("GET", "PUT", "PATCH", "DELETE")}

_key = re.compile(r"[A-Za-z0-9_]+").fullmatch


class Body(Struct):
    """The body of a request. Members that an operation does not use are checked for JSON syntax only."""

    id: Id | None = None
    key: str | None = None
    value: Raw = NULL
    data: Raw = NULL
    overwrite: bool | None = None
    append: bool | None = None
    create: bool | None = None
    ids: list[Id] | None = None
    keys: list[str] | None = None


class Form:
    """The fields of a URL-encoded form, read like the members of a JSON body. The methods raise Invalid."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = {name: text for name, text in fields.items() if text.strip(" \t\r\n")}
        self.text = fields.get

    def json(self, name: str, parse: Callable[..., T]) -> T | None:
        """Return a field that holds JSON; None if it is empty or absent."""
        return parse(self._fields[name].encode(), name) if name in self._fields else None

    def value(self, name: str) -> Raw:
        """Return a field as JSON: its own text if that is JSON, else the text as a JSON string."""
        text = self._fields.get(name, "null").encode()
        try:
            return _any(text)
        except msgspec.DecodeError:
            return Raw(orjson.dumps(text.decode()))
        except RecursionError:
            raise Invalid(f"`{name}` is nested too deeply") from None

    def flag(self, name: str) -> bool:
        return flag(self._fields, name)


_any = msgspec.json.Decoder(Raw).decode
_parse_json: Callable[..., Body] = json_parser(Body, lax=True)
IDS: Callable[..., list[Id]] = json_parser(list[Id])
KEYS: Callable[..., list[str]] = json_parser(list[str])


class KeyValue(Struct):
    """The key and the value of a PUT or PATCH, and the record that they are stored in."""

    collection: Collection
    id: str
    key: str
    value: bytes


class KeysRequest(Struct):
    """The parameters of a GET or DELETE: keys, the record id of each, and the resources (None if none are named)."""

    keys: list[str]
    ids: list[str]
    resources: list[str] | None


def operation(request: Request) -> str:
    return choice(request.query(), "operation", "", OPERATIONS)


async def read(request: Request, body_of: Callable[[str, bytes], T]) -> T:
    """Read the body and parse it with `body_of`, a long one in a thread. Raises Invalid, TooLarge."""
    text = await request.body.read(request.service.settings.max_document_bytes)
    type = request.headers.get("Content-Type", "")
    return body_of(type, text) if len(text) <= SHORT_BYTES else await offload.run(body_of, type, text)


def body_of(type: str, text: bytes) -> Body:
    """Parse a body of this content type: JSON or a form. Raises Invalid."""
    fields = form_fields(type, text)
    body = _parse_json(text) if fields is None else _from_form(Form(fields))
    body.keys, body.ids = bounded(body.keys, body.ids)
    return body


def bounded(keys: list[str] | None, ids: list[Id] | None) -> tuple[list[str] | None, list[Id] | None]:
    """Return the lists of a body, cut after the first entry over their limits; `keys_request` refuses these."""
    return keys and keys[: READ_KEYS + 1], ids and [*islice(dict.fromkeys(map(str, ids)), READ_VALUES + 1)]


def _from_form(form: Form) -> Body:
    return Body(
        form.text("id"),
        form.text("key"),
        form.value("value"),
        form.value("data"),
        form.flag("overwrite"),
        form.flag("append"),
        form.flag("create"),
        form.json("ids", IDS),
        form.json("keys", KEYS),
    )


def write_parameters(request: Request, extension: Mapping[str, Any], scope: str, body: Body) -> KeyValue:
    """Check the parameters of a PUT or PATCH. Raises Coded, Undeclared."""
    value = next((bytes(raw) for raw in (body.value, body.data) if raw != NULL), None)
    if body.id in (None, "") or not body.key or value is None:
        raise Missing(missing_message(id=body.id, key=body.key, value=value))
    check_keys([body.key])
    check_version(request, extension)
    return KeyValue(collection_of(scope, str(body.id)), record_of(request, body.key), body.key, value)


def missing_message(**members: object) -> str:
    """Return the message that names the required members which are absent, null or empty."""
    return f"the body lacks {' and '.join(f'`{name}`' for name, given in members.items() if given in (None, '', []))}"


def keys_request(
    request: Request, extension: Mapping[str, Any], wanted: Sequence[str] | None, ids: Sequence[Id] | None
) -> KeysRequest:
    """Check the parameters of a GET or DELETE: `wanted` are the keys, `ids` the resources. Raises Coded, TooLarge."""
    if not wanted:
        raise Missing(missing_message(keys=wanted))
    if len(wanted) > READ_KEYS:
        raise TooLarge(f"at most {READ_KEYS} keys in one request, not {len(wanted)}")
    names = check_keys([*dict.fromkeys(wanted)])
    check_version(request, extension)
    resources = None if ids is None else [*dict.fromkeys(map(str, ids))]
    if resources and len(resources) * len(names) > READ_VALUES:
        raise TooLarge(f"at most {READ_VALUES} values in one request, not {len(resources)} ids times {len(names)} keys")
    return KeysRequest(names, [record_of(request, key) for key in names], resources)


def check_keys(names: list[str]) -> list[str]:
    """Return these names if all are valid keys. Raises BadKey."""
    for name in names:
        if len(name) > KEY_CHARACTERS:
            raise BadKey(f"a key must have at most {KEY_CHARACTERS} characters, not {len(name)}")
        if not _key(name):
            raise BadKey("a key may have only the letters a-z and A-Z, digits and underscores")
    return names


def extension_of(request: Request) -> Mapping[str, Any]:
    """Return the declaration of the caller's extension. Raises NotClaimed."""
    extension = request.declared
    if extension is None or CLAIM not in extension["claims"]:
        raise NotClaimed(f"the extension may not use the storage: it is not declared with the claim `{CLAIM}`")
    return extension


def check_version(request: Request, extension: Mapping[str, Any]) -> None:
    """Check that the extension lists the version of the token. Raises BadVersion."""
    if (version := request.caller.claims["version"]) not in extension["versions"]:
        raise BadVersion(f"the token is for version {version}, which the extension does not have")


def collection_of(scope: str, id: str) -> Collection:
    """Return the collection of a resource. Raises Undeclared for an id of impossible length."""
    if not 0 < len(id) <= ID_LENGTH:
        raise Undeclared(f"no such {scope[:-1]}: an id has 1 to {ID_LENGTH} characters")
    return keys.collection(NAME, scope, id, "")


def collections_of(scope: str, ids: Sequence[str]) -> list[Collection]:
    """Return the collections of resources to be read. Raises NotFound for an id of impossible length."""
    if not all(0 < len(id) <= ID_LENGTH for id in ids):
        raise NotFound(f"no such {scope[:-1]}: an id has 1 to {ID_LENGTH} characters")
    return [keys.collection(NAME, scope, id, "") for id in ids]


def record_of(request: Request, key: str) -> str:
    """Return the id of the record in which the caller's extension stores a key."""
    claims = request.caller.claims
    return record_id(claims["extension"], claims["environment"], key)


def record_id(client_id: str, environment: str, key: str) -> str:
    """Return the id of a record. The client id is escaped, so that the parts of the id cannot be confused."""
    return f"{keys.escape(client_id)}:{environment}:{key}"
