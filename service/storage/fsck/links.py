"""The check of grants: each subject that may read a collection is linked to it, so that a list of all readable
collections is complete.

Links are supersets (access/links.py): a link to a collection that is not readable any more is not a fault. A
possible fault is checked again, because a grant may have been removed in between.
"""

from collections.abc import AsyncIterator, Callable, Mapping

from service.storage import keys, registry
from service.storage.access.grants import READ
from service.storage.access.links import Links
from service.storage.keys import Collection
from service.storage.scripts.runner import Runner

Readers = Mapping[tuple[str, str], str]  # dialect and namespace -> kind of the links from subjects to collections


class LinkCheck:
    """The check of grants and links. `scan` walks over all keys of all servers; `fault` reports a fault."""

    def __init__(
        self,
        runner: Runner,
        repair: bool,
        scan: Callable[[], AsyncIterator[str]],
        fault: Callable[[str], object],
        readers: Readers,
    ) -> None:
        self._runner, self._repair, self._scan, self._fault, self._readers = runner, repair, scan, fault, readers
        self._links = Links(runner)

    async def run(self) -> None:
        async for key in self._scan():
            if (parsed := keys.parse(key)) is not None and parsed[3] == "a" and parsed[:2] in self._readers:
                await self.collection(keys.collection(*parsed[:3], ""), self._readers[parsed[:2]])

    async def collection(self, collection: Collection, kind: str) -> None:
        """Check the grants of one collection. `kind` is that of the links from subjects to it."""
        async for subject, verbs in registry.scan(self._runner, "HSCAN", collection.acl):
            if subject and READ in verbs and not await self._linked(collection, kind, subject):
                again = await self._runner.command("HGET", collection.acl, subject, key=collection.acl)
                if again is None or READ not in again.decode() or await self._linked(collection, kind, subject):
                    continue
                self._fault(f"{collection.acl}: {subject!r} may read it and is not linked to it")
                if self._repair:
                    await self._links.link(collection.dialect, kind, subject, [collection.name])

    async def _linked(self, collection: Collection, kind: str, subject: str) -> bool:
        links = keys.links(collection.dialect, kind, subject)
        return await self._runner.command("ZSCORE", links, collection.name, key=links) is not None
