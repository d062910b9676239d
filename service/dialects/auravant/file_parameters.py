"""Checks the parameters of requests for files in the order of the vendor's codes, as for values; the size last."""

import math
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from msgspec import Struct

from service.api.dialect import Request
from service.api.parsing import form_fields, json_parser
from service.dialects.auravant import parameters
from service.dialects.auravant.refusals import Missing, Oversized
from service.dialects.auravant.roles import FARMS, FIELDS, USERS
from service.storage.errors import Invalid
from service.storage.files.files import File
from service.storage.keys import Collection

FILE_BYTES = 10 * 1024 * 1024  # the vendor's limit
ROUNDED = 1023  # bytes by which a file may exceed its announced size: clients round to KB, some of them down

_extension = re.compile(r".*\.([A-Za-z0-9]{1,16})", re.DOTALL).fullmatch
_md5 = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==").fullmatch  # base64 of 16 bytes
_number: Callable[..., float] = json_parser(float)


class Body(Struct):
    """The body of a request. PUT and PATCH name the resource in the member of their scope: user, field or farm."""

    key: str | None = None
    original_file_name: str | None = None
    md5: str | None = None
    file_size_kb: float | None = None
    overwrite: bool | None = None
    create: bool | None = None
    user: parameters.Id | None = None
    field: parameters.Id | None = None
    farm: parameters.Id | None = None
    keys: list[str] | None = None
    ids: list[parameters.Id] | None = None
    id: parameters.Id | None = None
    get_url: bool | None = None

    def resource(self, scope: str) -> parameters.Id | None:
        return {USERS: self.user, FIELDS: self.field, FARMS: self.farm}[scope]


_parse_json: Callable[..., Body] = json_parser(Body, lax=True)


class Upload(Struct):
    """The checked parameters of a PUT or PATCH; the upload may have at most `most` bytes."""

    collection: Collection
    id: str
    file: File
    most: int


def body_of(type: str, text: bytes) -> Body:
    """Parse a body of this content type: JSON or a form. Raises Invalid."""
    fields = form_fields(type, text)
    body = _parse_json(text) if fields is None else _from_form(parameters.Form(fields))
    body.keys, body.ids = parameters.bounded(body.keys, body.ids)
    return body


def _from_form(form: parameters.Form) -> Body:
    return Body(
        form.text("key"),
        form.text("original_file_name"),
        form.text("md5"),
        form.json("file_size_kb", _number),
        form.flag("overwrite"),
        form.flag("create"),
        form.text("user"),
        form.text("field"),
        form.text("farm"),
        form.json("keys", parameters.KEYS),
        form.json("ids", parameters.IDS),
        form.text("id"),
        form.flag("get_url"),
    )


def upload_parameters(request: Request, extension: Mapping[str, Any], scope: str, body: Body) -> Upload:
    """Check the parameters of a PUT or PATCH. Raises Coded, Invalid, Undeclared."""
    resource, kilobytes = body.resource(scope), body.file_size_kb
    if resource in (None, "") or not (body.key and body.original_file_name and body.md5) or kilobytes is None:
        raise Missing(
            parameters.missing_message(
                **{scope[:-1]: resource},
                key=body.key,
                original_file_name=body.original_file_name,
                md5=body.md5,
                file_size_kb=kilobytes,
            )
        )
    parameters.check_keys([body.key])
    parameters.check_version(request, extension)
    if not _md5(body.md5):
        raise Invalid("`md5` must be the 16 bytes of an MD5 in base64")
    if not (math.isfinite(kilobytes) and kilobytes >= 0):
        raise Invalid("`file_size_kb` must be a number, and at least 0")
    size = kilobytes * 1024
    if size > FILE_BYTES:
        raise Oversized(f"a file has at most {FILE_BYTES} bytes: `file_size_kb` must be at most {FILE_BYTES // 1024}")
    file = File(unique_name(body.original_file_name), round(size), b64decode(body.md5))
    most = min(FILE_BYTES, math.ceil(size) + ROUNDED)
    return Upload(parameters.collection_of(scope, str(resource)), parameters.record_of(request, body.key), file, most)


def unique_name(original: str) -> str:
    """Return a new, unique file name. It keeps the original's extension if that is 1 to 16 letters and digits."""
    found = _extension(original)
    return f"{uuid4()}.{found[1]}" if found else str(uuid4())
