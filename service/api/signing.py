"""Signed permissions: a request that carries one may do exactly what it permits, for a short time, without a token.

The method is that of Amazon S3's POST policies. A JSON document (the policy) states what is permitted. It is encoded as
base64, and the signature (HMAC-SHA-256) covers exactly these characters, so no canonical form is needed. Every field of
the request must be in the policy with the same value: none can be added, left out or changed. This module does not
limit how often a permission is used; the dialect that grants it does.

A key is named by its own digest. The first key signs and all keys are accepted. To rotate keys, put the new one first
and remove the old one when everything that it signed has expired.
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

KEY_CHARACTERS = 32  # the shortest key: 16 random bytes in hexadecimal
POLICY, KEY_ID, SIGNATURE = "policy", "key-id", "signature"
LONGEST = 8192  # most characters of a policy

_lawful_policy = re.compile(r"[A-Za-z0-9_-]+").fullmatch
_lawful_signature = re.compile(r"[0-9a-f]{64}").fullmatch


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """A signed permission: its purpose, its expiry (ms since the Unix epoch), the fields that the request must have,
    and the most bytes that its body may have. A permission for one purpose does not serve another."""

    purpose: str
    expires: int
    fields: dict[str, str]
    bytes: int = 0


_decode = msgspec.json.Decoder(Policy).decode
_encode = msgspec.json.Encoder(order="sorted").encode


class Signer:
    """Signs permissions and verifies them. `clock` returns the seconds since the Unix epoch.

    Raises ValueError if there is no key, or a key is too short.
    """

    def __init__(self, keys: Sequence[str], clock: Callable[[], float] = time) -> None:
        if not keys or any(len(key) < KEY_CHARACTERS for key in keys):
            raise ValueError(f"a signing key must have at least {KEY_CHARACTERS} characters")
        self._keys = {_key_id(key): key.encode() for key in keys}
        self._first = _key_id(keys[0])
        self._clock = clock

    def sign(self, purpose: str, fields: Mapping[str, str], *, seconds: float, bytes: int = 0) -> dict[str, str]:
        """Return the fields with their policy, key id and signature: all that the request must carry, as a form or as a
        query. The permission is valid for `seconds`; the body may have at most `bytes`."""
        expires = int((self._clock() + seconds) * 1000)
        policy = urlsafe_b64encode(_encode(Policy(purpose, expires, dict(fields), bytes))).decode().rstrip("=")
        return {**fields, POLICY: policy, KEY_ID: self._first, SIGNATURE: self._signature(self._first, policy)}

    def verify(self, purpose: str, shown: Mapping[str, str], *, later: str | None = None) -> Policy:
        """Return the policy that the fields of a request carry, if it is valid.

        The field `later` may be missing here: the caller compares it with the policy when it arrives. Raises Denied.
        """
        policy, key, signature = (shown.get(name, "") for name in (POLICY, KEY_ID, SIGNATURE))
        if not (policy and key and signature):
            raise Denied(f"the fields {POLICY}, {KEY_ID} and {SIGNATURE} are needed")
        if key not in self._keys:
            raise Denied(f"the field {KEY_ID} names a key that is unknown or no longer accepted")
        if len(policy) > LONGEST or not _lawful_policy(policy) or not _lawful_signature(signature):
            raise Denied("the signature is wrong")
        if not compare_digest(self._signature(key, policy), signature):
            raise Denied("the signature is wrong")
        found = _decode(urlsafe_b64decode(policy + "=" * (-len(policy) % 4)))
        if found.purpose != purpose:
            raise Denied(f"the field {POLICY} is signed for another kind of request")
        if self._clock() * 1000 >= found.expires:
            raise Denied(f"the field {POLICY} has expired")
        rest: dict[str, Any] = {name: text for name, text in shown.items() if name not in (POLICY, KEY_ID, SIGNATURE)}
        for name in (rest.keys() ^ found.fields.keys()) - {later}:
            raise Denied(f"the field {name!r} is {'not covered by the signature' if name in rest else 'missing'}")
        for name, text in rest.items():
            if found.fields.get(name) != text:
                raise Denied(f"the field {name!r} differs from the one that was signed")
        return found

    def _signature(self, key: str, policy: str) -> str:
        return digest(self._keys[key], policy.encode(), "sha256").hex()


def _key_id(key: str) -> str:
    """Return the public id of a key. The key cannot be computed from it."""
    return sha256(b"polystow signing key\0" + key.encode()).hexdigest()[:16]


def stored_key(path: Path) -> str:
    """Return the signing key in a file; make the file, readable by its owner only, if it does not exist.

    Raises OSError, and ValueError if the file holds no key.
    """
    if not path.exists():  # with an existing file nothing is written, so a full disk does not matter
        _make(path)
    key = path.read_text().strip()
    if len(key) < KEY_CHARACTERS:
        raise ValueError(f"{path} must have a signing key of at least {KEY_CHARACTERS} characters")
    return key


def _make(path: Path) -> None:
    # The key is written to a temporary file that is then linked to its name, so that nobody reads half of a key.
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
