"""Upload and download of files by signed URLs: each is a permission and needs no token.

Each is signed for one resource, key, generation of the key (storage/files/files.py) and user. A token may be given to
anybody and a URL too, but what the user may do is looked at when it counts: the script that attaches an upload, and the
one that reads for a download, decide by the user's grants of that moment.
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
from service.dialects.auravant.filing import FILE_BYTES, Announced
from service.dialects.auravant.refusals import NoFile, NotPermitted, Spent
from service.dialects.auravant.roles import NAME
from service.storage import keys
from service.storage.errors import Changed, Denied, Invalid, NotFound, TooLarge
from service.storage.files.files import Filed
from service.storage.keys import Collection
from service.storage.records.write import Write

UPLOAD, DOWNLOAD = "/api/mktplace/filestorage/upload", "/api/mktplace/filestorage/download"
UPLOAD_SECONDS, DOWNLOAD_SECONDS, PUBLIC_SECONDS = 10, 10, 100

# Fields of the form, in lower case as they are compared. The first ones are answered; the client adds the others.
SIGNED = ("resource", "key", "generation", "user", "policy", "key-id", "signature")
MD5, FILE = "content-md5", "file"
FIELD_BYTES = 16_384
FORM = Limits(parts=20, part_bytes=FILE_BYTES, bytes=FILE_BYTES + 131_072)
PRIVATE = (("Referrer-Policy", "no-referrer"),)  # whoever has the URL may have the file

routes = Routes()

signer = lru_cache(maxsize=4)(Signer)  # by the keys that are set


def uploading(request: Request, asked: Announced, generation: str) -> dict[str, Any]:
    """Return the URL to which an announced file is posted, and the form fields beside its MD5."""
    fields = _permitted(asked.collection, asked.id, generation, request.caller.id)
    shown = signer(request.service.settings.signing_key).sign(
        "upload", {**fields, MD5: b64encode(asked.file.md5).decode()}, seconds=UPLOAD_SECONDS, bytes=asked.most
    )
    del shown[MD5]  # the client adds it
    return {"url": request.base() + UPLOAD, "fields": shown}


def linking(request: Request, seconds: int) -> Callable[[Filed], str]:
    """Return a function that makes URLs of files for this caller, valid for so many seconds."""
    base, user = request.base() + DOWNLOAD + "?", request.caller.id
    sign = partial(signer(request.service.settings.signing_key).sign, "download", seconds=seconds)
    return lambda filed: base + urlencode(sign(_permitted(filed.collection, filed.id, filed.generation, user)))


def _permitted(collection: Collection, id: str, generation: str, user: str) -> dict[str, str]:
    return {"resource": f"{collection.namespace}/{collection.name}", "key": id, "generation": generation, "user": user}


@routes.route("POST", UPLOAD, described=described.upload, open=True)
async def upload(request: Request) -> Answer:
    """Upload a file that was announced.

    The form has all `fields` that a PUT or PATCH answered, in any order, then `file`, and before or behind it
    `Content-MD5`. It works once, within 10 seconds: the file has to begin by then.
    """
    form = _parts(request)
    fields, file = await _until_file(form)
    for name in SIGNED:
        if name not in fields:
            raise NotPermitted(f"there is no field {name!r} before the file: all fields that are signed must be")
    with by_status(Spent):
        policy = signer(request.service.settings.signing_key).verify("upload", fields, later=MD5)
        pieces = _to_the_end(file, form, fields.get(MD5), policy.fields.get(MD5))
        user = fields["user"]
        write = Write(_collection(fields), fields["key"], user, subject=user, idempotency=request.idempotency)
        await request.service.storage.files.upload(
            write, fields["generation"], pieces, lawful_type(file.type), policy.bytes
        )
    return Answer(204)


@routes.route("GET", DOWNLOAD, described=described.download, open=True)
async def download_file(request: Request) -> Answer | Stream:
    """Download a file, with the URL that a listing told."""
    files, shown = request.service.storage.files, request.query()
    with by_status(NoFile):
        signer(request.service.settings.signing_key).verify("download", shown)
        filed = await files.find_uploaded(_collection(shown), shown["key"], shown["generation"], shown["user"])
    stored = filed.file
    file = File(stored.size, stored.md5.hex(), filed.at // 1_000_000, stored.type or ANY_TYPE, stored.name)
    return download(request.headers, file, partial(files.read, filed), PRIVATE)


def _by_status(gone: type[Spent] | type[NoFile]) -> Iterator[None]:
    """Within it, refusals get statuses that say so: the envelope's 200 would look like a file, or like an upload that
    worked."""
    try:
        yield
    except Denied as denied:
        raise NotPermitted(str(denied)) from None
    except (Changed, NotFound) as refusal:
        raise gone(str(refusal)) from None


by_status = contextmanager(_by_status)


def _collection(signed: Mapping[str, str]) -> Collection:
    scope, _, id = signed["resource"].partition("/")
    return keys.collection(NAME, scope, id, "")


def _parts(request: Request) -> AsyncIterator[Part]:
    if not request.headers.get("Content-Type", "").lower().startswith("multipart/form-data"):
        raise Unsupported("the body must be multipart/form-data")
    return parts(request.headers, request.body.pieces(FORM.bytes), FORM)


async def _until_file(form: AsyncIterator[Part]) -> tuple[dict[str, str], Part]:
    """The fields of a form, and the file behind them. Raises Invalid, TooLarge."""
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


async def _to_the_end(
    file: Part, form: AsyncIterator[Part], md5: str | None, signed: str | None
) -> AsyncIterator[bytes]:
    """The pieces of a file, behind which the form ends, or has the file's MD5 unless that came before."""
    async for piece in pieces_of(file.content):
        yield piece
    async for part in form:
        if part.name.lower() != MD5 or md5 is not None:
            raise Invalid(f"the field {part.name!r} is behind the file, where only one `Content-MD5` may be")
        md5 = await _value(part)
    if md5 is None or md5 != signed:
        raise Denied("the field `Content-MD5` is missing, or is not the MD5 that was announced")
