"""The operations on collections with scopes: the script that does it decides first whether the caller may.

Reading is in two steps. One script for each collection, all in one round trip, decides and replies what is small; then
what was large or did not fit is read in portions, as fast as it is asked for. So however much is read, neither Redis
nor this process holds much of it at once.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from service.storage.commands import DISCARDED, INLINE_BYTES, Commands
from service.storage.errors import AlreadyExists, Denied, Long, NotFound
from service.storage.fan_out import fan_out
from service.storage.grants import WRITE
from service.storage.join import join
from service.storage.keys import Collection
from service.storage.once import asked, during
from service.storage.records import Listed, Record, Saved, saved
from service.storage.repeatable import nothing, repeatable
from service.storage.runner import Command, Runner

if TYPE_CHECKING:
    from service.storage.store import Storage

ONE_BYTES = 500_000  # of one collection in the first step: below 1 ms of Redis's time
ALL_BYTES = 8_000_000  # of all collections in the first step
AT_ONCE = 500  # ids in one script: 3 ms of Redis's time with the longest ids
Refused = Denied | NotFound


@dataclass(frozen=True, slots=True)
class Shelf:
    """What the first step found in a collection: records, and those that are still to be read; or why it may not be."""

    place: Collection
    found: dict[str, Record]
    rest: Sequence[Listed] = ()
    refused: Refused | None = None


class Scoped:
    def __init__(self, storage: "Storage", runner: Runner, commands: Commands) -> None:
        self._storage, self._commands = storage, commands
        self._send = runner.send

    async def survey(self, places: Sequence[Collection], ids: Sequence[str], subject: str) -> list[Shelf]:
        """The first step: the same ids in each of these collections. It raises nothing for a collection that the caller
        may not read: its shelf says so, NotFound where there is no such resource and else Denied."""
        most = min(ONE_BYTES, ALL_BYTES // max(1, len(places)))
        return await fan_out(partial(self.read, ids, subject, most), places)

    async def read(
        self, ids: Sequence[str], subject: str, most: int, place: Collection, *, attached: bool = False
    ) -> Shelf:
        """One collection's first step; at most `most` bytes come along. `attached`: of the records with files."""
        portions = [ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]

        async def ask(portion: Sequence[str]) -> list[bytes | int | None]:
            share = most // len(portions)
            command = self._commands.read(place, portion, subject, share, whole=False, attached=attached)
            told: list[bytes | int | None] = await self._send(command)
            return told

        try:
            replies = [reply for told in await fan_out(ask, portions) for reply in told]
        except (Denied, NotFound) as refused:
            return Shelf(place, {}, (), refused)
        found = {id: Record.unpack(reply) for id, reply in zip(ids, replies, strict=True) if isinstance(reply, bytes)}
        rest = [Listed(id, reply) for id, reply in zip(ids, replies, strict=True) if isinstance(reply, int)]
        return Shelf(place, found, rest)

    async def records(self, shelf: Shelf) -> AsyncIterator[list[tuple[str, Record]]]:
        """All records of a shelf, portion by portion; what is gone meanwhile is left out."""
        if shelf.found:
            yield [*shelf.found.items()]
        async for portion in self._storage.records(shelf.place, shelf.rest):
            yield portion

    @repeatable(saved)
    async def append(
        self, place: Collection, id: str, value: bytes, by: str, *, limit: int, subject: str, creating: bool = False
    ) -> Saved:
        """Add a JSON value to a record's (service/storage/join.py); `creating`: where there is none, the value is it.
        Its expiry stays.

        `limit` is the largest body, in bytes. Raises Denied, NotFound, Mismatched, TooLarge, QuotaExceeded.
        """

        def command(room: str) -> Command:
            return self._commands.append(place, id, value, by, limit, room, subject, creating=creating)

        if len(value) > INLINE_BYTES:
            await self._storage.grants.permit(place, subject, WRITE)
        else:
            with suppress(Long):
                return await self._storage.write(command, place, None)
        while True:  # where others create and delete it in turns, one of the two works out
            try:
                return (await self._storage.rewrite(place, id, join, (value, limit), by, subject=subject))[0]
            except NotFound:
                if not creating:
                    raise
            with suppress(AlreadyExists):
                return await self._storage.create(place, id, value, by, subject=subject)

    @repeatable(nothing)
    async def discard(self, place: Collection, ids: Sequence[str], subject: str) -> None:
        """Remove records, those of them that are there; `DISCARDED` in a step. Raises Denied."""
        for start in range(0, len(ids), DISCARDED):
            last = start + DISCARDED >= len(ids)
            with during(asked() if last else None):  # where all is done once, it is done with the last of them
                await self._send(self._commands.discard(place, ids[start : start + DISCARDED], subject))


def unreadable(shelves: Iterable[Shelf]) -> Refused | None:
    """Why not all of these may be read: what is not there counts before what is forbidden."""
    refused = [shelf.refused for shelf in shelves if shelf.refused is not None]
    return next((each for each in refused if isinstance(each, NotFound)), refused[0] if refused else None)
