"""Migration of the values and files that an Auravant extension stored, into this service.

The vendor's API lists neither resources nor keys, so the caller names both. Each resource is read at the vendor, stored
here and read back. A different value or file that is stored here already is kept, and its name is printed.
"""

from collections.abc import Callable, Sequence
from hashlib import md5
from typing import Protocol

from service.migration.extension_storage import ExtensionStorage, NotAllowed
from service.migration.outcome import Agreement, Outcome
from service.migration.state import State
from service.remote.concurrency import at_once

AT_ONCE = 8  # keys that are stored at the same time
CANNOT = (
    "Auravant's API lists neither resources nor keys, nor times, nor who stored a value: only the values of the given "
    "ids and keys are moved, and their times are those of the migration. Declare permissions in the access document."
)


class Arrivals(Protocol):
    """The part of the dialect that reads and writes what is migrated (`service.dialects.auravant.arrivals`)."""

    async def value(self, scope: str, id: str, key: str) -> bytes | None: ...
    async def store_value(self, scope: str, id: str, key: str, value: bytes) -> bool: ...
    async def file(self, scope: str, id: str, key: str) -> bytes | None: ...
    async def store_file(self, scope: str, id: str, key: str, name: str, type: str, content: bytes) -> bool: ...


class Arrival:
    """The migration of the values and files of one scope from the vendor to this service."""

    def __init__(
        self,
        vendor: ExtensionStorage,
        here: Arrivals,
        scope: str,
        state: State,
        outcome: Outcome,
        progress: Callable[[int], object],
    ) -> None:
        self._vendor, self._here, self._scope = vendor, here, scope
        self._state, self._outcome, self._progress = state, outcome, progress
        self._values, self._files = Agreement("values", 0, 0), Agreement("files", 0, 0)

    async def run(self, ids: Sequence[str], keys: Sequence[str]) -> None:
        """Bring the values and files that these resources have under these keys."""
        part = self._state.part(self._scope)
        for number in range(part.numbers(0)[0], len(ids)):
            id = ids[number]
            try:
                values = await self._vendor.values(id, keys)
                await at_once(AT_ONCE, (self._value(id, key, value) for key, value in values.items()))
                files = await self._vendor.files(id, keys)
                await at_once(AT_ONCE, (self._file(id, key) for key, listed in files.items() if listed.url))
                waiting = sum(not listed.url for listed in files.values())
                self._outcome.counts["files that were never uploaded"] += waiting
                self._progress(len(values) + len(files))
            except NotAllowed as error:
                self._outcome.trouble(str(error))
            part.position = str(number + 1)
            self._state.save()
        self._outcome.counts = +self._outcome.counts
        self._outcome.agreements += [self._values, self._files]

    async def _value(self, id: str, key: str, value: bytes) -> None:
        stored = await self._here.store_value(self._scope, id, key, value)
        self._compare(self._values, id, key, stored, await self._here.value(self._scope, id, key), value)

    async def _file(self, id: str, key: str) -> None:
        found = await self._vendor.download(id, key)
        if found is None:
            self._outcome.counts["gone meanwhile"] += 1
            return
        listed, type, content = found
        stored = await self._here.store_file(self._scope, id, key, listed.file_name, type, content)
        digest = md5(content, usedforsecurity=False).digest()
        self._compare(self._files, id, key, stored, await self._here.file(self._scope, id, key), digest)

    def _compare(self, agreement: Agreement, id: str, key: str, stored: bool, here: bytes | None, there: bytes) -> None:
        """Compare the vendor's value, or the digest of its file (`there`), with what was read back (`here`)."""
        agreement.there += 1
        agreement.here += here is not None
        agreement.compared += 1
        agreement.equal += here == there
        if stored:
            self._outcome.counts[f"{agreement.part} stored"] += 1
        elif here == there:
            self._outcome.counts[f"{agreement.part} present"] += 1
        else:
            self._outcome.trouble(f"{self._scope} {id}: the {key} in Polystow is different and was kept")
