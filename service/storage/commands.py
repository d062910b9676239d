"""The operations as commands of Redis: keys -> arguments, each spelled once.

`Storage` runs them with all that surrounds a write; the fast path sends them as they are where nothing needs to.
"""

from collections.abc import Sequence

from service.storage.conditions import ANYTHING
from service.storage.keys import Collection
from service.storage.proofs import Proofs
from service.storage.runner import Command, Runner

INLINE_BYTES = 32_000  # a larger body goes ahead to a staging key: a script copies its arguments (lua/README.md)
MERGE_BYTES = 32_000  # a longer document and patch, together, are merged in the worker
DISCARDED = 100  # records in one discard: 45 us for each in five indexes of 1,000,000
MERGE_STEPS = 10_000  # scanning steps of a merge in Redis, at most 2 ms


class Commands:
    """`state` is the condition, as lua/include/unmet.lua reads it, `room` the quota's, as lua/include/barred.lua does.

    The replies of `create`, `put` and `merge` begin as `Saved` does, and go on with the documents and bytes that the
    collection grew by; that of `merge` ends with the new body. `subject` is who asks, as the collection's grants name
    callers, "" where it has no scopes (lua/include/allowed.lua).
    """

    def __init__(self, runner: Runner, proofs: Proofs) -> None:
        self._script = runner.script
        self._proof = proofs.of

    def get(self, place: Collection, id: str) -> Command:
        """Replies a packed record (`Record.unpack`), or None; the one read that replicas may answer."""
        key = place.record(id)
        return Command(("GET", key), key, None)

    def create(
        self, place: Collection, id: str, body: bytes, by: str, lifetime: str, room: str = "", subject: str = ""
    ) -> Command:
        arguments = {
            "id": id, "body": body, "by": by, "lifetime": lifetime,
            "kinds": place.kinds, "registered": self._proof(place), "room": room, "subject": subject,
        }  # fmt: skip
        return self._script("create", (place.record(id), *place.guarded), arguments, steady=True)

    def put(
        self,
        place: Collection,
        id: str,
        body: bytes,
        by: str,
        lifetime: str,
        state: str = ANYTHING,
        room: str = "",
        subject: str = "",
    ) -> Command:
        arguments = {
            "id": id, "body": body, "by": by, "lifetime": lifetime, "condition": state,
            "kinds": place.kinds, "registered": self._proof(place), "room": room, "subject": subject,
        }  # fmt: skip
        return self._script("put", (place.record(id), *place.guarded), arguments, steady=True)

    def publish(
        self,
        place: Collection,
        id: str,
        staged: str,
        margin: int,
        by: str,
        lifetime: str,
        state: str,
        room: str,
        subject: str = "",
    ) -> Command:
        arguments = {
            "id": id, "by": by, "lifetime": lifetime, "condition": state, "margin": margin,
            "kinds": place.kinds, "registered": self._proof(place), "room": room, "subject": subject,
        }  # fmt: skip
        return self._script("publish", (place.record(id), staged, *place.guarded), arguments)

    def merge(
        self,
        place: Collection,
        id: str,
        patch: bytes,
        by: str,
        limit: int,
        state: str = ANYTHING,
        room: str = "",
        subject: str = "",
    ) -> Command:
        arguments = {
            "id": id, "patch": patch, "by": by, "condition": state, "kinds": place.kinds, "room": room,
            "limit": limit, "longest": MERGE_BYTES, "budget": MERGE_STEPS, "subject": subject,
        }  # fmt: skip
        return self._script("merge", (place.record(id), *place.guarded), arguments, steady=True)

    def append(
        self, place: Collection, id: str, value: bytes, by: str, limit: int, room: str = "", subject: str = "",
        *, creating: bool,
    ) -> Command:  # fmt: skip
        arguments = {
            "id": id, "value": value, "by": by,
            "kinds": place.kinds, "registered": self._proof(place), "room": room,
            "limit": limit, "longest": MERGE_BYTES, "budget": MERGE_STEPS,
            "creating": int(creating), "subject": subject,
        }  # fmt: skip
        return self._script("append", (place.record(id), *place.guarded), arguments)

    def read(
        self, place: Collection, ids: Sequence[str], subject: str, most: int, *, whole: bool, attached: bool = False
    ) -> Command:
        """Replies of each a packed record, None, or its size; refuses where the `whole` is more than `most` bytes.
        `attached`: the records with files under these ids."""
        names = map(place.attachment if attached else place.record, ids)
        arguments = {"subject": subject, "most": most, "whole": int(whole)}
        return self._script("read", (place.acl, *names), arguments)

    def discard(self, place: Collection, ids: Sequence[str], subject: str = "") -> Command:
        """Replies the documents and bytes that the collection grew by; at most DISCARDED ids."""
        arguments = {"subject": subject, "kinds": place.kinds, "ids": ids}
        return self._script("discard", (*place.guarded, *map(place.record, ids)), arguments)

    def delete(self, place: Collection, id: str, state: str = ANYTHING, subject: str = "") -> Command:
        """Replies the documents and bytes that the collection grew by."""
        arguments = {"id": id, "condition": state, "kinds": place.kinds, "subject": subject}
        return self._script("delete", (place.record(id), *place.guarded), arguments, steady=True)
