"""What a request says, checked in the order of the vendor's codes: what is missing, keys, the extension's version.

A body is JSON or a form. The value inside it is found without being read: its bytes are stored as they stand there.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Raw, Struct

from service.dialect import Headers, Request, single
from service.dialects.auravant.access import EXTENSION, ID_LENGTH
from service.dialects.auravant.refusals import BadKey, BadVersion, Missing, NotClaimed
from service.dialects.auravant.roles import NAME
from service.storage import keys
from service.storage.errors import Invalid, NotFound, TooLarge, Unauthenticated, Undeclared
from service.storage.keys import Collection

CLAIM = "storage"
READ_VALUES = 20_000  # ids times keys in one request
READ_KEYS = 1_000
FORM = "application/x-www-form-urlencoded"
FORM_FIELDS = 100

NULL = Raw(b"null")  # what is null and what is absent is the same

Id = str | int
T = TypeVar("T")

_key = re.compile(r"[A-Za-z0-9_]{1,200}").fullmatch
_bearer = re.compile(r"(?i:bearer) +([!-~]+) *").fullmatch
_validate = msgspec.json.Decoder(Raw).decode


class Body(Struct):
    """A request's body. Of the members that an operation does not know nothing is looked at but whether they are
    JSON."""

    id: Id | None = None
    key: str | None = None
    value: Raw = NULL
    data: Raw = NULL
    overwrite: bool = False
    append: bool = False
    create: bool = False
    ids: list[Id] | None = None
    keys: list[str] | None = None


class Form:
    """The fields of a form; of a repeated one the last counts. Its methods raise ValueError."""

    def __init__(self, text: bytes) -> None:
        pairs = parse_qsl(text.decode(), keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS)
        self._fields = dict(pairs)

    def text(self, name: str) -> str | None:
        return self._fields.get(name)

    def json(self, name: str, decode: Callable[[bytes], T]) -> T:
        """A field that holds JSON; one that is empty or left out is null."""
        return decode(self._fields.get(name, "").strip(" \t\r\n").encode() or b"null")

    def flag(self, name: str) -> bool:
        if self._fields.get(name, "false") not in ("true", "false"):
            raise ValueError(f"{name} is to be true or false")
        return self._fields.get(name) == "true"


_body = msgspec.json.Decoder(Body).decode
IDS = msgspec.json.Decoder(list[Id] | None).decode
KEYS = msgspec.json.Decoder(list[str] | None).decode


class Write(Struct):
    """A PUT or a PATCH."""

    place: Collection
    id: str
    key: str
    value: bytes


class Several(Struct):
    """A GET or a DELETE: keys, and the record id of each; of a GET the resources, None where the body names none."""

    keys: list[str]
    ids: list[str]
    resources: list[str] | None


def credential(headers: Headers) -> str:
    found = _bearer(single(headers, "Authorization", Unauthenticated))
    if found is None:
        raise Unauthenticated("a token is needed: Authorization: Bearer TOKEN")
    return found[1]


def operation(request: Request) -> str:
    name = request.query().get("operation", "")
    if name not in ("GET", "PUT", "PATCH", "DELETE"):
        raise Invalid("operation is to be GET, PUT, PATCH or DELETE")
    return name


def body_of(headers: Mapping[str, str], text: bytes) -> Body:
    """The body, of the right types. Raises Invalid."""
    return understood(headers, text, _body, _form)


def understood(headers: Mapping[str, str], text: bytes, json: Callable[[bytes], T], form: Callable[[Form], T]) -> T:
    """What a body says, as JSON or as a form. Raises Invalid."""
    posted = headers.get("Content-Type", "").partition(";")[0].strip().lower() == FORM
    try:
        if not text.isascii():
            text.decode()
        return form(Form(text)) if posted else json(text)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise Invalid(f"the body is not what it is to be: {error}") from None
    except RecursionError:
        raise Invalid("the body is nested too deep") from None


def _form(form: Form) -> Body:
    """A form's body: `value`, `data`, `ids` and `keys` are JSON."""
    return Body(
        form.text("id"), form.text("key"), form.json("value", _validate), form.json("data", _validate),
        form.flag("overwrite"), form.flag("append"), form.flag("create"),
        form.json("ids", IDS), form.json("keys", KEYS),
    )  # fmt: skip


def written(request: Request, extension: dict[str, Any], scope: str, body: Body) -> Write:
    """What a PUT or PATCH asks for, once everything that it needs is there."""
    value = next((bytes(raw) for raw in (body.value, body.data) if bytes(raw) != b"null"), None)
    if body.id in (None, "") or not body.key or value is None:
        raise Missing("id, key and value are needed")
    checked([body.key])
    versioned(request, extension)
    return Write(place_of(scope, str(body.id)), record_of(request, body.key), body.key, value)


def several(
    request: Request, extension: dict[str, Any], wanted: Sequence[str] | None, ids: Sequence[Id] | None
) -> Several:
    """What a GET asks for, or a DELETE but for its resource: keys, and ids of resources."""
    if not wanted:
        raise Missing("keys are needed")
    if len(wanted) > READ_KEYS:
        raise TooLarge(f"at most {READ_KEYS} keys in one request")
    names = checked([*dict.fromkeys(wanted)])
    versioned(request, extension)
    resources = None if ids is None else [*dict.fromkeys(map(str, ids))]
    if resources and len(resources) * len(names) > READ_VALUES:
        raise TooLarge(f"at most {READ_VALUES} values in one request: ids times keys")
    return Several(names, [record_of(request, key) for key in names], resources)


def checked(names: list[str]) -> list[str]:
    """The same names, found to be lawful keys."""
    for name in names:
        if not _key(name):
            raise BadKey("a key has 1 to 200 letters a-z and A-Z, digits and underscores")
    return names


async def extension_of(request: Request) -> dict[str, Any]:
    """What is declared of the caller's extension. Raises NotClaimed."""
    return claimed(await request.service.directory.find(NAME, EXTENSION, request.caller.claims["extension"]))


def claimed(extension: dict[str, Any] | None) -> dict[str, Any]:
    if extension is None or CLAIM not in extension["claims"]:
        raise NotClaimed("the extension may not use the storage")
    return extension


def versioned(request: Request, extension: dict[str, Any]) -> None:
    """The extension lists the version that the token names."""
    if request.caller.claims["version"] not in extension["versions"]:
        raise BadVersion("the extension has no such version")


def place_of(scope: str, id: str) -> Collection:
    """The collection of a resource. An id that none can have is that of one which nobody declared."""
    if not 0 < len(id) <= ID_LENGTH:
        raise Undeclared("there is no such resource")
    return keys.collection(NAME, scope, id, "")


def places_of(scope: str, ids: Sequence[str]) -> list[Collection]:
    """The collections of resources to be read. Raises NotFound for an id that none can have."""
    if not all(0 < len(id) <= ID_LENGTH for id in ids):
        raise NotFound("there is no such resource")
    return [keys.collection(NAME, scope, id, "") for id in ids]


def record_of(request: Request, key: str) -> str:
    """The id of the caller's record under that key."""
    claims = request.caller.claims
    return record_id(claims["extension"], claims["environment"], key)


def record_id(client_id: str, environment: str, key: str) -> str:
    """The id of a record: no client id can look like another one's with something behind it."""
    return f"{keys.escape(client_id)}:{environment}:{key}"
