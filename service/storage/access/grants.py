"""Who may do what in a collection: its grants, which the scripts themselves look at (lua/include/denied.lua).

They lie in the collection's slot and nobody keeps a copy, so what was taken back counts from the moment that `grant`
was answered: no write that comes later can pass.

Grants follow from what was declared. Of two that follow at the same time the one that read more must win, whichever
comes later: so declare, then take a revision, then read what is declared, then grant. A grant of a lower revision
than what is there is refused, and who is refused does the same with a new one.
"""

from collections.abc import Awaitable, Callable, Mapping
from itertools import chain
from uuid import uuid4

from service.storage import keys
from service.storage.errors import OutdatedGrants, Unavailable
from service.storage.keys import Collection
from service.storage.scripts.runner import Runner

READ, WRITE, DELETE = "r", "w", "d"  # the verbs; grants are any of them in one text
PORTION = 1000  # subjects in one command: below 1 ms of Redis's time
STAGED_SECONDS = 60
ATTEMPTS = 20  # at a collection about which others keep saying something else


class Grants:
    def __init__(self, runner: Runner) -> None:
        self._run = runner.run
        self._command = runner.command

    async def revise(self, above: int = 0) -> int:
        """A new revision, higher than all before, and than `above`."""
        return int(await self._run("revise", (keys.REVISION,), above=above))

    async def grant(self, collection: Collection, verbs: Mapping[str, str] | None, revision: int) -> list[str]:
        """Let each subject do what its verbs say and nobody anything else; None undeclares the collection's resource.
        Replies the subjects that there were before, as far as they are known.

        In one step, however many they are: what is more than `PORTION` goes ahead to a staging key. Safe to repeat.
        Raises Outdated, Unavailable, OutcomeUnknown.
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
        """`grant` what is declared, read anew by `verbs` while others say something else: then `again` is told of the
        later revision. Raises Unavailable, OutcomeUnknown."""
        for _ in range(ATTEMPTS):
            try:
                return await self.grant(collection, await verbs(), revision)
            except OutdatedGrants as outdated:
                revision = await self.revise(outdated.revision)
                await again(revision)
        raise Unavailable("access is being changed by many at once; apply it again")

    async def permit(self, collection: Collection, subject: str, verb: str) -> None:
        """Let a caller go on to what leads to a write there. Raises Denied."""
        await self._run("permit", (collection.acl,), subject=subject, verb=verb)
