"""Parameters of a request, checked in the order of the vendor's codes: what is missing, keys, the extension's version.

A body is JSON or a form. The value inside it is found without being read: its bytes are stored as they stand there.
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
READ_VALUES = 20_000  # ids times keys in one request
READ_KEYS = 1_000
SHORT_BYTES = 4096  # of a body that is read at once
KEY_CHARACTERS = 200

NULL = Raw(b"null")  # what is null and what is absent is the same

Id = str | int
T = TypeVar("T")
OPERATIONS = {name: name for name in ("GET", "PUT", "PATCH", "DELETE")}

_key = re.compile(r"[A-Za-z0-9_]+").fullmatch


class Body(Struct):
    """A request's body. Of the members that an operation does not know nothing is looked at but whether they are
    JSON."""

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
    """The fields of a URL-encoded form, as a body's members. Its methods raise Invalid."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = {name: text for name, text in fields.items() if text.strip(" \t\r\n")}
        self.text = fields.get

    def json(self, name: str, parse: Callable[..., T]) -> T | None:
        """A field that holds JSON; one that is empty or left out is null."""
        return parse(self._fields[name].encode(), name) if name in self._fields else None

    def value(self, name: str) -> Raw:
        """A field that holds any JSON; a text that is none is a string."""
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
_body: Callable[..., Body] = json_parser(Body, lax=True)
IDS: Callable[..., list[Id]] = json_parser(list[Id])
KEYS: Callable[..., list[str]] = json_parser(list[str])


class KeyValue(Struct):
    """The key and the value of a PUT or a PATCH, and the record that is to hold them."""

    collection: Collection
    id: str
    key: str
    value: bytes


class Several(Struct):
    """A GET or a DELETE: keys, and the record id of each; of a GET the resources, None where the body names none."""

    keys: list[str]
    ids: list[str]
    resources: list[str] | None


def operation(request: Request) -> str:
    return choice(request.query(), "operation", "", OPERATIONS)


async def read(request: Request, body_of: Callable[[str, bytes], T]) -> T:
    """The body, understood by the function. Raises Invalid, TooLarge."""
    text = await request.body.read(request.service.settings.max_document_bytes)
    type = request.headers.get("Content-Type", "")
    return body_of(type, text) if len(text) <= SHORT_BYTES else await offload.run(body_of, type, text)


def body_of(type: str, text: bytes) -> Body:
    """A body of that content type, JSON or a form. Raises Invalid."""
    fields = form_fields(type, text)
    body = _body(text) if fields is None else _posted(Form(fields))
    body.keys, body.ids = bounded(body.keys, body.ids)
    return body


def bounded(keys: list[str] | None, ids: list[Id] | None) -> tuple[list[str] | None, list[Id] | None]:
    """The lists of a body, cut off behind the first entry that is too many: `several` refuses them still."""
    return keys and keys[: READ_KEYS + 1], ids and [*islice(dict.fromkeys(map(str, ids)), READ_VALUES + 1)]


def _posted(form: Form) -> Body:
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


def written(request: Request, extension: Mapping[str, Any], scope: str, body: Body) -> KeyValue:
    """Return the parameters of a PUT or PATCH that has all that it needs."""
    value = next((bytes(raw) for raw in (body.value, body.data) if raw != NULL), None)
    if body.id in (None, "") or not body.key or value is None:
        raise Missing(lacking(id=body.id, key=body.key, value=value))
    checked([body.key])
    versioned(request, extension)
    return KeyValue(collection_of(scope, str(body.id)), record_of(request, body.key), body.key, value)


def lacking(**members: object) -> str:
    """The required members that are absent, null or empty."""
    return f"the body lacks {' and '.join(f'`{name}`' for name, given in members.items() if given in (None, '', []))}"


def several(
    request: Request, extension: Mapping[str, Any], wanted: Sequence[str] | None, ids: Sequence[Id] | None
) -> Several:
    """Return the parameters of a GET, or of a DELETE without its resource: keys, and ids of resources."""
    if not wanted:
        raise Missing(lacking(keys=wanted))
    if len(wanted) > READ_KEYS:
        raise TooLarge(f"at most {READ_KEYS} keys in one request, not {len(wanted)}")
    names = checked([*dict.fromkeys(wanted)])
    versioned(request, extension)
    resources = None if ids is None else [*dict.fromkeys(map(str, ids))]
    if resources and len(resources) * len(names) > READ_VALUES:
        raise TooLarge(f"at most {READ_VALUES} values in one request, not {len(resources)} ids times {len(names)} keys")
    return Several(names, [record_of(request, key) for key in names], resources)


def checked(names: list[str]) -> list[str]:
    """Return these names unchanged if all are lawful keys."""
    for name in names:
        if len(name) > KEY_CHARACTERS:
            raise BadKey(f"a key has at most {KEY_CHARACTERS} characters, and this one has {len(name)}")
        if not _key(name):
            raise BadKey("a key consists of letters a-z and A-Z, digits and underscores")
    return names


def extension_of(request: Request) -> Mapping[str, Any]:
    """Return the declaration of the caller's extension. Raises NotClaimed."""
    extension = request.declared
    if extension is None or CLAIM not in extension["claims"]:
        raise NotClaimed(f"the extension may not use the storage: it is not declared with the claim `{CLAIM}`")
    return extension


def versioned(request: Request, extension: Mapping[str, Any]) -> None:
    """The extension lists the version that the token names."""
    if (version := request.caller.claims["version"]) not in extension["versions"]:
        raise BadVersion(f"the extension has no version {version}, which the token names")


def collection_of(scope: str, id: str) -> Collection:
    """The collection of a resource. An id that none can have is that of one which nobody declared."""
    if not 0 < len(id) <= ID_LENGTH:
        raise Undeclared(f"no such {scope[:-1]}: an id has 1 to {ID_LENGTH} characters")
    return keys.collection(NAME, scope, id, "")


def collections_of(scope: str, ids: Sequence[str]) -> list[Collection]:
    """The collections of resources to be read. Raises NotFound for an id that none can have."""
    if not all(0 < len(id) <= ID_LENGTH for id in ids):
        raise NotFound(f"no such {scope[:-1]}: an id has 1 to {ID_LENGTH} characters")
    return [keys.collection(NAME, scope, id, "") for id in ids]


def record_of(request: Request, key: str) -> str:
    """The id of the caller's record under that key."""
    claims = request.caller.claims
    return record_id(claims["extension"], claims["environment"], key)


def record_id(client_id: str, environment: str, key: str) -> str:
    """The id of a record: no client id can look like another one's with something behind it."""
    return f"{keys.escape(client_id)}:{environment}:{key}"
