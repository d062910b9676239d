"""The operations as single commands, for the fast path: what `Storage` sends when there is nothing else to do.

No quota, no condition, a body that fits, a collection that is registered or not empty. A script refuses where one of
these does not hold, before any effect, with a word that never leaves storage; then the operation is asked of `Storage`.
"""

from typing import NamedTuple

from service.redis.wire import Argument
from service.storage.conditions import ANYTHING
from service.storage.keys import Collection
from service.storage.proofs import Proofs
from service.storage.runner import Runner
from service.storage.store import INLINE_BYTES, MERGE_BYTES, MERGE_STEPS


class Command(NamedTuple):
    """What to send, the key that it goes by, and whether it must not run twice."""

    args: tuple[Argument, ...]
    key: str
    write: bool


class Commands:
    def __init__(self, runner: Runner, proofs: Proofs) -> None:
        self._script = runner.script
        self._proof = proofs.of

    def get(self, place: Collection, id: str) -> Command:
        """Replies a packed record (`Record.unpack`), or None."""
        key = place.record(id)
        return Command(("GET", key), key, False)

    def create(self, place: Collection, id: str, body: bytes, by: str, lifetime: str) -> Command | None:
        """Replies what `Saved.reply` reads."""
        if len(body) > INLINE_BYTES:
            return None
        key = place.record(id)
        return Command(
            self._script(
                "create", (key, *place.tail), id=id, body=body, by=by, lifetime=lifetime,
                kinds=place.kinds, registered=self._proof(place), room="",
            ), key, True,
        )  # fmt: skip

    def put(self, place: Collection, id: str, body: bytes, by: str, lifetime: str) -> Command | None:
        """Replies what `Saved.reply` reads."""
        if len(body) > INLINE_BYTES:
            return None
        key = place.record(id)
        return Command(
            self._script(
                "put", (key, *place.tail), id=id, body=body, by=by, lifetime=lifetime, condition=ANYTHING,
                kinds=place.kinds, registered=self._proof(place), room="",
            ), key, True,
        )  # fmt: skip

    def merge(self, place: Collection, id: str, patch: bytes, by: str, limit: int) -> Command:
        """Replies what `Saved.reply` reads, and the new body at the end."""
        key = place.record(id)
        return Command(
            self._script(
                "merge", (key, *place.tail), id=id, patch=patch, by=by, condition=ANYTHING,
                kinds=place.kinds, room="", limit=limit, longest=MERGE_BYTES, budget=MERGE_STEPS,
            ), key, True,
        )  # fmt: skip

    def delete(self, place: Collection, id: str) -> Command:
        """Replies nothing of use."""
        key = place.record(id)
        return Command(
            self._script("delete", (key, *place.tail), id=id, condition=ANYTHING, kinds=place.kinds), key, True
        )
