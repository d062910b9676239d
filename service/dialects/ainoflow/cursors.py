"""Cursors of lists: the position after the last item, bound to the list that it belongs to."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Mapping
from hashlib import blake2b

from msgspec import DecodeError, Struct, msgpack

from service.storage.errors import Invalid

_score = re.compile(r"[0-9]{1,16}", re.ASCII).fullmatch
_text = re.compile(r"[A-Za-z0-9_-]+", re.ASCII).fullmatch


class Cursor(Struct, array_like=True, forbid_unknown_fields=True):
    """A position in the list that `list` identifies: after the item with this score (0 by name) and id."""

    list: bytes
    score: str
    id: str

    def text(self) -> str:
        """Return the cursor as a client gets it."""
        return urlsafe_b64encode(_encode(self)).rstrip(b"=").decode()


_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(Cursor).decode


def identity(*parts: str) -> bytes:
    """Return a digest of everything that distinguishes lists: project, category, order, prefix."""
    return blake2b(_encode(parts), digest_size=6).digest()


def parsed(query: Mapping[str, str], list: bytes) -> Cursor | None:
    """Return the position that `cursor` names; None if it is empty, which means the beginning. Raises Invalid."""
    if query.get("page"):
        raise Invalid("only one of `cursor` and `page` may be given")
    text = query["cursor"]
    if not text:
        return None
    try:
        if not _text(text):
            raise ValueError
        found = _decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, Error, DecodeError):
        raise Invalid("`cursor` must be empty or the `X-Next-Cursor` of an earlier answer") from None
    if found.list != list or not _score(found.score):
        raise Invalid("`cursor` belongs to another list: category, project, order and prefix must be the same")
    return found
