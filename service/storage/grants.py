"""Who may do what in a collection: its grants, which the scripts themselves look at (lua/include/allowed.lua).

They lie in the collection's slot and nobody keeps a copy, so what was taken back counts from the moment that `grant`
was answered: no write that comes later can pass.
"""

from collections.abc import Mapping
from itertools import chain
from uuid import uuid4

from service.storage.keys import Collection
from service.storage.runner import Runner

READ, WRITE, DELETE = "r", "w", "d"  # the verbs; grants are any of them in one text
PORTION = 1000  # subjects in one command: below 1 ms of Redis's time
STAGED_SECONDS = 60


class Grants:
    def __init__(self, runner: Runner) -> None:
        self._run = runner.run
        self._command = runner.command

    async def grant(self, place: Collection, verbs: Mapping[str, str] | None) -> None:
        """Let each subject do what its verbs say and nobody anything else; None undeclares the collection's resource.

        In one step, however many they are: more than `PORTION` go ahead to a staging key. Safe to repeat.
        Raises Unavailable, OutcomeUnknown.
        """
        staged = place.staged(uuid4().hex)
        pairs = [] if verbs is None else [("", ""), *verbs.items()]
        *ahead, last = [pairs[start : start + PORTION] for start in range(0, len(pairs), PORTION)] or [[]]
        for portion in ahead:
            await self._command("HSET", staged, *chain.from_iterable(portion), key=staged, write=True)
            await self._command("EXPIRE", staged, STAGED_SECONDS, key=staged, write=True)
        await self._run("grant", (place.acl, staged), grants=[*chain.from_iterable(last)])
