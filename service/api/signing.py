"""Signed permissions: for a short while, whoever shows one may do exactly what it says, without a token.

The approach is that of Amazon S3's POST policies: what is permitted is written down as a document, the document is
encoded as base64, and the signature (HMAC-SHA-256) is of these very characters, so nothing has to be brought into a
canonical form before it is checked. Every field that comes along must be in the document and say the same there, so
that none can be added, left out or changed. That a permission serves once is not said here: who grants it remembers.

Keys are named by their own digests. The first one signs, all of them are accepted: a new key goes to the front, and the
old one is taken away once everything that it signed has expired.
"""

import os
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from hmac import compare_digest, digest
from pathlib import Path
from time import time
from typing import Any

import msgspec
from msgspec import Struct

from service.storage.errors import Denied

KEY_CHARACTERS = 32  # at least: 16 random bytes in hexadecimal
POLICY, KEY_ID, SIGNATURE = "policy", "key-id", "signature"
LONGEST = 8192  # characters of a policy

_lawful_policy = re.compile(r"[A-Za-z0-9_-]+").fullmatch
_lawful_signature = re.compile(r"[0-9a-f]{64}").fullmatch


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """A signed permission: a purpose (a permission for one is none for another), until when (ms since the epoch), the
    fields that have to come along, and the most bytes that a body may have."""

    purpose: str
    expires: int
    fields: dict[str, str]
    bytes: int = 0


_decode = msgspec.json.Decoder(Policy).decode
_encode = msgspec.json.Encoder(order="sorted").encode


class Signer:
    """`clock` tells the time in seconds since the epoch. Raises ValueError for keys that are too short, or none."""

    def __init__(self, keys: Sequence[str], clock: Callable[[], float] = time) -> None:
        if not keys or any(len(key) < KEY_CHARACTERS for key in keys):
            raise ValueError(f"a signing key has at least {KEY_CHARACTERS} characters")
        self._keys = {_named(key): key.encode() for key in keys}
        self._first = _named(keys[0])
        self._clock = clock

    def sign(self, purpose: str, fields: Mapping[str, str], *, seconds: float, bytes: int = 0) -> dict[str, str]:
        """The fields, with what proves them: all that has to be shown again, as a form or a query."""
        expires = int((self._clock() + seconds) * 1000)
        policy = urlsafe_b64encode(_encode(Policy(purpose, expires, dict(fields), bytes))).decode().rstrip("=")
        return {**fields, POLICY: policy, KEY_ID: self._first, SIGNATURE: self._signature(self._first, policy)}

    def verify(self, purpose: str, shown: Mapping[str, str], *, later: str | None = None) -> Policy:
        """Return the permission that these fields grant; the field `later` may be left out, and is to be compared with
        the policy's when it is shown. Raises Denied, in words."""
        policy, key, signature = (shown.get(name, "") for name in (POLICY, KEY_ID, SIGNATURE))
        if not (policy and key and signature):
            raise Denied("the permission is not signed: policy, key-id and signature are needed")
        if key not in self._keys:
            raise Denied("the permission is signed with a key that is not known, or no longer")
        if len(policy) > LONGEST or not _lawful_policy(policy) or not _lawful_signature(signature):
            raise Denied("the signature is wrong")
        if not compare_digest(self._signature(key, policy), signature):
            raise Denied("the signature is wrong")
        found = _decode(urlsafe_b64decode(policy + "=" * (-len(policy) % 4)))
        if found.purpose != purpose:
            raise Denied("the permission is signed for something else")
        if self._clock() * 1000 >= found.expires:
            raise Denied("the permission has expired")
        rest: dict[str, Any] = {name: text for name, text in shown.items() if name not in (POLICY, KEY_ID, SIGNATURE)}
        for name in (rest.keys() ^ found.fields.keys()) - {later}:
            raise Denied(f"the field {name!r} is {'not covered by the signature' if name in rest else 'missing'}")
        for name, text in rest.items():
            if found.fields.get(name) != text:
                raise Denied(f"the field {name!r} is not the one that was signed")
        return found

    def _signature(self, key: str, policy: str) -> str:
        return digest(self._keys[key], policy.encode(), "sha256").hex()


def _named(key: str) -> str:
    """Return the public name of a key; the key cannot be computed from it."""
    return sha256(b"polystow signing key\0" + key.encode()).hexdigest()[:16]


def kept(path: Path) -> str:
    """The key in a file that only its owner can read, made by whoever comes first. Raises OSError, ValueError."""
    if not path.exists():  # nothing is written beside one that is there: the disk may be full
        _make(path)
    key = path.read_text().strip()
    if len(key) < KEY_CHARACTERS:
        raise ValueError(f"{path} holds no signing key")
    return key


def _make(path: Path) -> None:
    # Written under another name and linked to its own, so that nobody ever reads half of a key.
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
