"""The routes that upload and download files by signed URLs, which need no token.

A URL is signed for one resource, key, generation of the key (storage/files/files.py) and user. The user's grants are
checked when the URL is used, by the scripts that attach an upload or read for a download.
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlencode

from service.api.dialect import Answer, Request, Routes, Stream, Unsupported
from service.api.downloads import ANY_TYPE, File, download, lawful_type
from service.api.forms import Limits, Part, parts, pieces_of, text
from service.api.signing import Signer
from service.dialects.auravant import file_description as described
from service.dialects.auravant.file_parameters import FILE_BYTES, Upload
from service.dialects.auravant.refusals import NoFile, NotPermitted, Spent
from service.dialects.auravant.roles import NAME
from service.storage import keys
from service.storage.errors import Changed, Denied, Invalid, NotFound, TooLarge
from service.storage.files.files import Filed
from service.storage.keys import Collection
from service.storage.records.write import Write

UPLOAD, DOWNLOAD = "/api/mktplace/filestorage/upload", "/api/mktplace/filestorage/download"
UPLOAD_SECONDS, DOWNLOAD_SECONDS, PUBLIC_SECONDS = 10, 10, 100

# Fields of the upload form, in lower case. `SIGNED` are answered by PUT and PATCH; the client adds the others.
SIGNED = ("resource", "key", "generation", "user", "policy", "key-id", "signature")
MD5, FILE = "content-md5", "file"
FIELD_BYTES = 16_384
FORM = Limits(parts=20, part_bytes=FILE_BYTES, bytes=FILE_BYTES + 131_072)
PRIVATE = (("Referrer-Policy", "no-referrer"),)  # the URL is a permission, so it must not be sent to other sites

routes = Routes()

signer = lru_cache(maxsize=4)(Signer)  # by the signing keys of the settings


def upload_form(request: Request, announced: Upload, generation: str) -> dict[str, Any]:
    """Return the URL for the upload of an announced file, and the form fields that the client sends with its MD5."""
    fields = _signed_fields(announced.collection, announced.id, generation, request.caller.id)
    shown = signer(request.service.settings.signing_key).sign(
        "upload", {**fields, MD5: b64encode(announced.file.md5).decode()}, seconds=UPLOAD_SECONDS, bytes=announced.most
    )
    del shown[MD5]  # the client adds it
    return {"url": request.base() + UPLOAD, "fields": shown}


def download_urls(request: Request, seconds: int) -> Callable[[Filed], str]:
    """Return a function that makes download URLs for this caller, valid for a number of seconds."""
    base, user = request.base() + DOWNLOAD + "?", request.caller.id
    sign = partial(signer(request.service.settings.signing_key).sign, "download", seconds=seconds)
    return lambda filed: base + urlencode(sign(_signed_fields(filed.collection, filed.id, filed.generation, user)))


def _signed_fields(collection: Collection, id: str, generation: str, user: str) -> dict[str, str]:
    return {"resource": f"{collection.namespace}/{collection.name}", "key": id, "generation": generation, "user": user}


@routes.route("POST", UPLOAD, described=described.upload, open=True)
async def upload(request: Request) -> Answer:
    """Upload a file that was announced.

    The form has all `fields` that a PUT or PATCH answered, in any order, then `file`, and before or after it
    `Content-MD5`. It works once, and the file must begin within 10 seconds.
    """
    form = _parts(request)
    fields, file = await _fields_before_file(form)
    for name in SIGNED:
        if name not in fields:
            raise NotPermitted(f"the form has no field {name!r} before the file: all signed fields must come first")
    with as_http_status(Spent):
        policy = signer(request.service.settings.signing_key).verify("upload", fields, later=MD5)
        pieces = _file_pieces(file, form, fields.get(MD5), policy.fields.get(MD5))
        user = fields["user"]
        write = Write(_collection(fields), fields["key"], user, subject=user, idempotency=request.idempotency)
        await request.service.storage.files.upload(
            write, fields["generation"], pieces, lawful_type(file.type), policy.bytes
        )
    return Answer(204)


@routes.route("GET", DOWNLOAD, described=described.download, open=True)
async def download_file(request: Request) -> Answer | Stream:
    """Download a file, with a URL from a listing."""
    files, shown = request.service.storage.files, request.query()
    with as_http_status(NoFile):
        signer(request.service.settings.signing_key).verify("download", shown)
        filed = await files.find_uploaded(_collection(shown), shown["key"], shown["generation"], shown["user"])
    stored = filed.file
    file = File(stored.size, stored.md5.hex(), filed.at // 1_000_000, stored.type or ANY_TYPE, stored.name)
    return download(request.headers, file, partial(files.read, filed), PRIVATE)


def _as_http_status(gone: type[Spent] | type[NoFile]) -> Iterator[None]:
    """Raise refusals with their own HTTP statuses: the envelope's 200 would look like a file or a finished upload."""
    try:
        yield
    except Denied as denied:
        raise NotPermitted(str(denied)) from None
    except (Changed, NotFound) as refusal:
        raise gone(str(refusal)) from None


as_http_status = contextmanager(_as_http_status)


def _collection(signed: Mapping[str, str]) -> Collection:
    scope, _, id = signed["resource"].partition("/")
    return keys.collection(NAME, scope, id, "")


def _parts(request: Request) -> AsyncIterator[Part]:
    if not request.headers.get("Content-Type", "").lower().startswith("multipart/form-data"):
        raise Unsupported("the body must be multipart/form-data")
    return parts(request.headers, request.body.pieces(FORM.bytes), FORM)


async def _fields_before_file(form: AsyncIterator[Part]) -> tuple[dict[str, str], Part]:
    """Return the fields of a form before its file, and the file. Raises Invalid, TooLarge."""
    fields: dict[str, str] = {}
    async for part in form:
        name = part.name.lower()
        if name == FILE:
            return fields, part
        if name in fields:
            raise Invalid(f"the form has the field {part.name!r} twice")
        fields[name] = await _value(part)
    raise Invalid(f"the form has no field {FILE!r}")


async def _value(part: Part) -> str:
    value = bytearray()
    async for piece in pieces_of(text(part)):
        value += piece
        if len(value) > FIELD_BYTES:
            raise TooLarge(f"the field {part.name!r} has more than {FIELD_BYTES} bytes")
    return value.decode()


async def _file_pieces(
    file: Part, form: AsyncIterator[Part], md5: str | None, signed: str | None
) -> AsyncIterator[bytes]:
    """Yield the pieces of the file, then check the rest of the form: only the MD5 may follow, if it is still missing.

    Raises Invalid, and Denied if the MD5 is not the announced one.
    """
    async for piece in pieces_of(file.content):
        yield piece
    async for part in form:
        if part.name.lower() != MD5 or md5 is not None:
            raise Invalid(f"the field {part.name!r} comes after the file, where only one `Content-MD5` is allowed")
        md5 = await _value(part)
    if md5 is None or md5 != signed:
        raise Denied("the field `Content-MD5` is missing, or is not the MD5 that was announced")
