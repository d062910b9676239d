"""Checked parameters of a request: the storage area, its lifetime, the keys to store."""

import re
from base64 import b64decode
from collections.abc import AsyncIterator

from service.api import forms
from service.api.dialect import Headers, Password, Request, single
from service.api.downloads import ANY_TYPE
from service.dialects.genesys.control import checked
from service.storage import keys
from service.storage.errors import Invalid, Unauthenticated
from service.storage.files.areas import Limits, Part
from service.storage.keys import Collection

NAME = "genesys"
NO_IDS = ("custom", "binary")  # they are segments of paths
ID_CHARACTERS = 256
USER_BYTES = 256
DEFAULT_SECONDS = 30
LONGEST_SECONDS = 10 * 365 * 86_400

_seconds = re.compile("[0-9]{1,18}").fullmatch
_uuid = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_basic = re.compile("(?i:basic) +([A-Za-z0-9+/]+={0,2}) *").fullmatch


def credential(headers: Headers) -> Password | None:
    """User and password (RFC 7617), None where none are shown."""
    found = _basic(single(headers, "Authorization", Unauthenticated))
    if found is None:
        return None
    try:
        username, colon, password = b64decode(found[1]).decode().partition(":")
    except ValueError:
        colon = ""
    if not colon:
        raise Unauthenticated("Authorization must be Basic and the base64 of USER:PASSWORD in UTF-8")
    return Password(username, password)


def milliseconds(ttl: str) -> int:
    """Return the lifetime in milliseconds. As the vendor's page says, an unlawful number means 30 seconds."""
    seconds = int(ttl) if _seconds(ttl) else 0
    return 1000 * (seconds if 0 < seconds <= LONGEST_SECONDS else DEFAULT_SECONDS)


def user(request: Request) -> str:
    """The `gms_user` of a request, "" for none. Raises Invalid."""
    name = single(request.headers, "gms_user", Invalid)
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise Invalid("gms_user is not UTF-8") from None
    if size > USER_BYTES:
        raise Invalid(f"gms_user has at most {USER_BYTES} bytes")
    return name


def own(request: Request, id: str) -> Collection:
    """The area of that id of the request's `gms_user`, who has to be named."""
    name = user(request)
    if not name:
        raise Invalid("a custom id needs the header gms_user")
    if not 0 < len(id) <= ID_CHARACTERS or id in NO_IDS:
        raise Invalid(f"a custom id has 1 to {ID_CHARACTERS} characters and is none of {', '.join(NO_IDS)}")
    return area_of(id, name)


def area_of(id: str, user: str = "") -> Collection:
    return keys.collection(NAME, user, id, "")


def collections(request: Request, id: str) -> list[Collection]:
    """Return the collections in which an area of that id may lie, the user's own first. Ids that the service makes are
    UUIDs."""
    name = user(request)
    found = [area_of(id, name)] if name and 0 < len(id) <= ID_CHARACTERS else []
    return [*found, area_of(id)] if _uuid(id) else found


def limits(request: Request) -> Limits:
    settings = request.service.settings
    return Limits(settings.genesys_max_parts, settings.genesys_max_request_bytes)


async def parts(request: Request) -> AsyncIterator[Part]:
    """Yield the values to store as they arrive. Raises Unsupported, Invalid, TooLarge, Denied."""
    settings, body = request.service.settings, request.body
    most = forms.Limits(settings.genesys_max_parts, settings.genesys_max_part_bytes, settings.genesys_max_request_bytes)
    async for part in forms.parts(request.headers, body.pieces(most.bytes), most, complete=body.complete):
        if part.name.startswith("_"):  # the vendor's page: keys may not; its own test page posts some
            continue
        if part.filename is None:
            yield Part(part.name, forms.text(part))
        else:
            control = settings.genesys_allow_file_control
            content = checked(part, settings.genesys_allowed_mime_types) if control else part.content
            yield Part(part.name, content, part.type or ANY_TYPE, part.filename)
