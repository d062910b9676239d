"""Checks the records that an import has written, except documents, which `importing` checks itself.

Records with files are checked one by one. Variables, journals and grants are checked at the end, a whole collection at
a time, because their entries do not arrive together.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from service.storage import keys, registry
from service.storage.fsck.blobs import BlobCheck
from service.storage.fsck.journal import JournalCheck
from service.storage.fsck.links import LinkCheck, Readers
from service.storage.fsck.variables import Audit
from service.storage.keys import Collection
from service.storage.scripts.runner import Runner
from service.transfer.lines import ChangeLine, GrantsLine, JournalLine, Line, VariableLine
from service.transfer.repeating import until_reachable

Say = Callable[[str], object]
Check = Callable[[Collection, Say], Awaitable[None]]


class Rechecking:
    """The checks of one import. `fault` is called with a message for each fault."""

    def __init__(self, runner: Runner, readers: Readers, fault: Say) -> None:
        self._runner, self._readers, self._fault = runner, readers, fault
        self._left: dict[tuple[Check, Collection], None] = {}  # each check once, in the order of the export

    def add(self, line: Line) -> None:
        """Note the collection of a line if it must be checked at the end."""
        if isinstance(line, VariableLine):
            check = self._variables
        elif isinstance(line, JournalLine | ChangeLine):
            check = self._journal
        elif isinstance(line, GrantsLine):
            check = self._grants
        else:
            return
        self._left[check, keys.collection(line.dialect, line.namespace, line.collection, "")] = None

    async def files(self, collection: Collection, id: str) -> None:
        """Check that all chunks of a record's blobs are stored."""

        async def check(say: Say) -> None:
            await BlobCheck(self._runner, False, self._keys, say).record((collection, id))

        await self._report(check)

    async def rest(self) -> None:
        """Check the collections that were noted."""
        for check, collection in self._left:
            await self._report(partial(check, collection))

    async def _report(self, check: Callable[[Say], Awaitable[None]]) -> None:
        async def once() -> list[str]:
            found: list[str] = []
            await check(found.append)
            return found

        for fault in await until_reachable(once):
            self._fault(fault)

    async def _variables(self, collection: Collection, say: Say) -> None:
        await Audit(self._runner, collection, say, repair=False).run()

    async def _journal(self, collection: Collection, say: Say) -> None:
        await JournalCheck(self._runner, say, repair=False).run(collection)

    async def _grants(self, collection: Collection, say: Say) -> None:
        if kind := self._readers.get((collection.dialect, collection.namespace)):
            await LinkCheck(self._runner, False, self._keys, say, self._readers).collection(collection, kind)

    async def _keys(self) -> AsyncIterator[str]:
        async for portion in registry.stored_keys(self._runner):
            for key in portion:
                yield key
