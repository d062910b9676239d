"""Checks and parses the parameters of requests: the storage area, its lifetime, the keys to store."""

import re
from base64 import b64decode
from collections.abc import AsyncIterator

from service.api import forms
from service.api.dialect import Headers, Password, Request, single
from service.api.downloads import ANY_TYPE
from service.dialects.genesys.control import checked_content
from service.storage import keys
from service.storage.errors import Invalid, Unauthenticated
from service.storage.files.areas import Limits, Part
from service.storage.keys import Collection

NAME = "genesys"
RESERVED_IDS = ("custom", "binary")  # segments of the vendor's paths
ID_CHARACTERS = 256
USER_BYTES = 256
DEFAULT_SECONDS = 30
LONGEST_SECONDS = 10 * 365 * 86_400

_seconds = re.compile("[0-9]{1,18}").fullmatch
_uuid = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_basic = re.compile("(?i:basic) +([A-Za-z0-9+/]+={0,2}) *").fullmatch


def credential(headers: Headers) -> Password | None:
    """Return the user and password of Basic authentication (RFC 7617), None if there are none.

    Raises Unauthenticated if they are malformed.
    """
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
    """Return the lifetime in milliseconds. An invalid number means 30 seconds, as the vendor's page says."""
    seconds = int(ttl) if _seconds(ttl) else 0
    return 1000 * (seconds if 0 < seconds <= LONGEST_SECONDS else DEFAULT_SECONDS)


def user(request: Request) -> str:
    """Return the `gms_user` of a request, or "". Raises Invalid."""
    name = single(request.headers, "gms_user", Invalid)
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise Invalid("the header gms_user is not UTF-8") from None
    if size > USER_BYTES:
        raise Invalid(f"the header gms_user must have at most {USER_BYTES} bytes, not {size}")
    return name


def custom_area(request: Request, id: str) -> Collection:
    """Return the collection of an area with a custom id, which belongs to the request's `gms_user`. Raises Invalid."""
    name = user(request)
    if not name:
        raise Invalid("a custom id needs the header gms_user")
    if not 0 < len(id) <= ID_CHARACTERS or id in RESERVED_IDS:
        raise Invalid(f"a custom id must have 1 to {ID_CHARACTERS} characters, and not be {' or '.join(RESERVED_IDS)}")
    return area_of(id, name)


def area_of(id: str, user: str = "") -> Collection:
    return keys.collection(NAME, user, id, "")


def candidate_collections(request: Request, id: str) -> list[Collection]:
    """Return the collections in which an area with this id may be, the custom area of the request's user first.

    Only a UUID can be an id that the service has generated.
    """
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
        if part.name.startswith("_"):  # the vendor's page forbids such keys, but its own test page posts some
            continue
        if part.filename is None:
            yield Part(part.name, forms.text(part))
        else:
            control = settings.genesys_allow_file_control
            content = checked_content(part, settings.genesys_allowed_mime_types) if control else part.content
            yield Part(part.name, content, part.type or ANY_TYPE, part.filename)
