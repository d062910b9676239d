"""Passwords, for dialects that are open to everybody until passwords are declared for them.

People choose passwords, so unlike tokens they are stored as salted, slow digests (scrypt, RFC 7914: 16 MiB and
some 50 ms each). A worker computes one at a time, in a thread, and remembers the outcome: a client that keeps
its password waits once for each worker. Clients that try many passwords wait in a short queue, or are refused.
"""

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b, scrypt
from hmac import compare_digest
from typing import NamedTuple

from service.storage import keys
from service.storage.access.directory import Caller, Directory
from service.storage.errors import Throttled, Unauthenticated

SALT_BYTES = 16
QUEUE = 16  # verifications that may wait for their turn
SIZE = 10_000  # remembered outcomes; if there are more, all are dropped
ANYONE = Caller("", {})


class Password(NamedTuple):
    """The user name and password of a request."""

    username: str
    password: str


@dataclass(frozen=True, slots=True)
class Login:
    """A declared user. If `password` is None, one is generated, unless the user has one already."""

    username: str
    password: str | None = None
    remove: bool = False


class Passwords:
    """The check of user names and passwords in one worker."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._outcomes: dict[bytes, bool] = {}
        self._secret = secrets.token_bytes(32)  # no password can be computed from the remembered outcomes without it
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def caller(self, dialect: str, shown: Password | None) -> Caller:
        """Return the caller with this password. Raises Unauthenticated, Throttled (too many verifications wait)."""
        key = keys.passwords(dialect)

        async def look() -> dict[str, bytes]:
            pairs = await self._directory.command("HGETALL", key, key=key)
            return {name.decode(): stored for name, stored in zip(pairs[::2], pairs[1::2], strict=True)}

        known: Mapping[str, bytes] = await self._directory.cached(dialect, "passwords", "", look)
        if not known:
            return ANYONE
        if shown is None:
            raise Unauthenticated("a user name and password are needed")
        stored = known.get(shown.username, b"")
        name = self._named(stored, shown)
        if (outcome := self._outcomes.get(name)) is None:
            outcome = await self._verify(stored, shown.password)
            if len(self._outcomes) >= SIZE:
                self._outcomes.clear()
            self._outcomes[name] = outcome
        if not outcome:
            raise Unauthenticated("the user name or the password is wrong")
        return Caller(shown.username, {})

    def _named(self, stored: bytes, shown: Password) -> bytes:
        said = "\0".join(shown).encode("utf-8", "surrogateescape")
        return stored + blake2b(said, key=self._secret, digest_size=32).digest()

    async def _verify(self, stored: bytes, password: str) -> bool:
        """Return True if the password is right. An unknown user takes as long as a known one."""
        if self._waiting >= QUEUE:
            raise Throttled("1000000")
        self._waiting += 1
        try:
            async with self._turn:
                salt = stored[:SALT_BYTES] or bytes(SALT_BYTES)
                return compare_digest(await asyncio.to_thread(_digest, password, salt), stored)
        finally:
            self._waiting -= 1


async def declare(directory: Directory, dialect: str, logins: Iterable[Login]) -> list[tuple[str, str]]:
    """Write users with their passwords, and return names and passwords of those that were generated. Safe to
    repeat.
    """
    key = keys.passwords(dialect)
    generated: list[tuple[str, str]] = []
    for login in logins:
        if login.remove:
            await directory.command("HDEL", key, login.username, key=key, write=True)
            continue
        password = login.password
        if password is None:
            if await directory.command("HEXISTS", key, login.username, key=key):
                continue
            password = secrets.token_urlsafe(24)
            generated.append((login.username, password))
        stored = await asyncio.to_thread(_digest, password, secrets.token_bytes(SALT_BYTES))
        await directory.command("HSET", key, login.username, stored, key=key, write=True)
    return generated


def _digest(password: str, salt: bytes) -> bytes:
    """Return salt and digest, as they are stored."""
    return salt + scrypt(password.encode("utf-8", "surrogateescape"), salt=salt, n=1 << 14, r=8, p=1)
