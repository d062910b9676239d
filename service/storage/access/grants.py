"""Grants: the verbs that each subject may use in a collection. The scripts themselves check them
(lua/include/denied.lua).

Grants are stored in the collection's slot and never cached. So after `grant` has removed a grant and returned, no
write uses it any more.

Grants follow from declared entries. If two programs apply declarations at the same time, the grants of the one
that has read the later state must remain. So: declare, take a revision, read the declared entries, then grant. A
grant with a revision lower than the stored one is refused; then take a new revision and read again.
"""

from collections.abc import Awaitable, Callable, Mapping
from itertools import chain
from uuid import uuid4

from service.storage import keys
from service.storage.errors import OutdatedGrants, Unavailable
from service.storage.keys import Collection
from service.storage.scripts.runner import Runner

READ, WRITE, DELETE = "r", "w", "d"  # the verbs; a grant is a text of one or more of them
PORTION = 1000  # subjects in one command: below 1 ms of Redis's time
STAGED_SECONDS = 60
ATTEMPTS = 20  # attempts at a collection whose grants others keep changing


class Grants:
    """The operations on grants."""

    def __init__(self, runner: Runner) -> None:
        self._run = runner.run
        self._command = runner.command

    async def revise(self, above: int = 0) -> int:
        """Return a new revision, higher than all earlier ones and than `above`."""
        return int(await self._run("revise", (keys.REVISION,), above=above))

    async def grant(self, collection: Collection, verbs: Mapping[str, str] | None, revision: int) -> list[str]:
        """Replace all grants of a collection, and return the subjects that had grants before, if they are
        known.

        `verbs` maps subjects to verbs; None undeclares the collection's resource. It is one step, however many
        grants there are: more than `PORTION` are sent to a staging key first. Idempotent. Raises
        OutdatedGrants, Unavailable, OutcomeUnknown.
        """
        staged = collection.staged(uuid4().hex)
        pairs = [*verbs.items()] if verbs else []
        *ahead, last = [pairs[start : start + PORTION] for start in range(0, len(pairs), PORTION)] or [[]]
        for portion in ahead:
            await self._command("HSET", staged, *chain.from_iterable(portion), key=staged, write=True)
            await self._command("EXPIRE", staged, STAGED_SECONDS, key=staged, write=True)
        before = await self._run(
            "grant",
            (collection.acl, staged),
            revision=revision,
            declared="" if verbs is None else 1,
            grants=[*chain.from_iterable(last)],
        )
        return [subject.decode() for subject in before if subject]

    async def grant_declared(
        self,
        collection: Collection,
        verbs: Callable[[], Awaitable[Mapping[str, str] | None]],
        revision: int,
        again: Callable[[int], Awaitable[None]],
    ) -> list[str]:
        """Grant the declared `verbs`; read them again if another program granted with a later revision.

        `again` is called with each new revision. Returns what `grant` returns. Raises Unavailable,
        OutcomeUnknown.
        """
        for _ in range(ATTEMPTS):
            try:
                return await self.grant(collection, await verbs(), revision)
            except OutdatedGrants as outdated:
                revision = await self.revise(outdated.revision)
                await again(revision)
        raise Unavailable("other documents are applied at the same time; apply this document again")

    async def permit(self, collection: Collection, subject: str, verb: str) -> None:
        """Check that a caller may use a verb, before a step outside of the script that writes. Raises Denied."""
        await self._run("permit", (collection.acl,), subject=subject, verb=verb)
