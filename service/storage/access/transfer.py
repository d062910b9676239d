"""Declared entries, grants, links and passwords, read for an export and restored.

Restoring one of them again changes nothing. If the store has a different one, it is kept, unless `replace` is set.
"""

from typing import Any

from msgpack import packb, unpackb

from service.storage import keys, registry
from service.storage.access.directory import Directory
from service.storage.access.grants import Grants
from service.storage.errors import OutdatedGrants
from service.storage.keys import Collection
from service.storage.outcomes import Outcome
from service.storage.scripts.runner import Runner

PORTION = 1000  # members in one command: below 1 ms of Redis's time


class AccessTransfer:
    """Declarations, read for an export and restored."""

    def __init__(self, runner: Runner) -> None:
        self._runner, self._command = runner, runner.command
        self._grants = Grants(runner)
        self._revision = 0  # the counter of revisions is at least this number

    async def entry(self, dialect: str, kind: str, id: str) -> dict[str, Any] | None:
        """Read a declared entry; None if there is none."""
        key = keys.entry(dialect, kind, id)
        packed = await self._command("GET", key, key=key)
        return None if packed is None else dict(unpackb(packed))

    async def restore_entry(self, dialect: str, kind: str, id: str, value: dict[str, Any], *, replace: bool) -> Outcome:
        """Restore a declared entry. All workers use it within a second after `finish`."""
        key = keys.entry(dialect, kind, id)
        condition = () if replace else ("NX",)
        if await self.entry(dialect, kind, id) == value:
            return Outcome.PRESENT
        stored = await self._command("SET", key, packb(value), *condition, key=key, write=True)
        return Outcome.STORED if stored else Outcome.DIFFERENT

    async def links(self, dialect: str, kind: str, id: str) -> dict[str, int]:
        """Read the members to which an id is linked, with the revisions of the links."""
        key = keys.links(dialect, kind, id)
        return {member: int(score) async for member, score in registry.scan(self._runner, "ZSCAN", key)}

    async def restore_links(self, dialect: str, kind: str, id: str, members: dict[str, int]) -> Outcome:
        """Add links to the existing ones. Links are supersets, so they never contradict each other."""
        key, pairs, changed = keys.links(dialect, kind, id), [*members.items()], 0
        for start in range(0, len(pairs), PORTION):
            words = [word for member, revision in pairs[start : start + PORTION] for word in (revision, member)]
            changed += await self._command("ZADD", key, "GT", "CH", *words, key=key, write=True)
        return Outcome.STORED if changed else Outcome.PRESENT

    async def grants(self, collection: Collection) -> tuple[int, dict[str, str]] | None:
        """Read the grants of a collection and their revision; None if it is not declared.

        They are read in portions, and again if they were replaced meanwhile.
        """
        while True:
            before = await self._command("HGET", collection.acl, "", key=collection.acl)
            if before is None or int(before) < 0:
                return None
            verbs = {name: verb async for name, verb in registry.scan(self._runner, "HSCAN", collection.acl)}
            if verbs.pop("", "").encode() == before:
                return int(before), verbs

    async def restore_grants(
        self, collection: Collection, revision: int, verbs: dict[str, str], *, replace: bool
    ) -> Outcome:
        """Restore the grants of a collection. Later grants get a later revision."""
        if (found := await self.grants(collection)) is not None:
            if found[1] == verbs:
                return Outcome.PRESENT
            if not replace:
                return Outcome.DIFFERENT
            revision = await self._grants.revise(max(found[0], revision))
        elif revision > self._revision:
            self._revision = await self._grants.revise(revision)
        try:
            await self._grants.grant(collection, verbs, revision)
        except OutdatedGrants:  # another program declares grants at the same time; its grants remain
            return Outcome.DIFFERENT
        return Outcome.STORED

    async def passwords(self, dialect: str) -> dict[str, bytes]:
        """Read the salted digests of the passwords of a dialect's users."""
        key, cursor, found = keys.passwords(dialect), b"0", dict[str, bytes]()
        while True:
            cursor, pairs = await self._command("HSCAN", key, cursor, "COUNT", PORTION, key=key)
            found |= {name.decode(): digest for name, digest in zip(pairs[::2], pairs[1::2], strict=True)}
            if cursor == b"0":
                return found

    async def restore_password(self, dialect: str, user: str, digest: bytes, *, replace: bool) -> Outcome:
        """Restore the salted digest of a user's password."""
        key = keys.passwords(dialect)
        if await self._command("HGET", key, user, key=key) == digest:
            return Outcome.PRESENT
        command = "HSET" if replace else "HSETNX"
        stored = await self._command(command, key, user, digest, key=key, write=True)
        return Outcome.STORED if stored or replace else Outcome.DIFFERENT

    async def finish(self) -> None:
        """Make all workers look up their cached entries again."""
        await Directory(self._runner).invalidate()
