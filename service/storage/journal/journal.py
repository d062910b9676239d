"""Reads journals. The scripts of writes add the entries (lua/include/enter_change.lua)."""

from msgspec import Struct

from service.storage.errors import Trimmed
from service.storage.journal.change import BEGINNING, Change, change, decode, packed_id, position
from service.storage.keys import Collection
from service.storage.scripts.runner import Runner

READ_BYTES = 500_000  # of entries in one `changes`: below 1 ms of Redis's time; a portion may have 1 MB more
PAGE_BYTES = 4_000_000  # bytes of entries after which a page ends early
SCANNED = 500  # entries that one `history` reads, and about 1 MB: below 3 ms of Redis's time


class Changes(Struct, frozen=True):
    """A page of changes. `next` is the cursor after which the next page begins; `more`: that page is not empty."""

    changes: list[Change]
    next: str
    more: bool


class Journal:
    """The journals of all collections."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def read(self, collection: Collection, after: str | None, limit: int) -> Changes:
        """Return the changes after a cursor, oldest first; without a cursor all that are kept.

        There are at most `limit`, and fewer if they are long. A collection without a journal has no changes. Raises
        Invalid if the cursor is malformed, Trimmed if a change after it was removed, UnknownCursor if the journal does
        not have it.
        """
        if after is not None:
            position(after)
        found: list[Change] = []
        size = 0
        while True:
            try:
                page = await self.changes(collection, after, limit - len(found))
            except Trimmed:
                if not found:
                    raise
                return Changes(found, found[-1].cursor, True)  # the next page raises the refusal
            found += page.changes
            after = page.next
            size += sum(len(each.value) for each in page.changes if each.value)
            if not page.more or len(found) == limit or size >= PAGE_BYTES:
                return Changes(found, after, page.more)

    async def changes(self, collection: Collection, after: str | None, limit: int) -> Changes:
        """Return a portion of the changes after a cursor; `read` joins the portions."""
        trimmed, more, entries = await self._runner.run(
            "changes",
            (collection.journal, collection.journal_state),
            after=after or "",
            limit=limit,
            most=READ_BYTES,
        )
        found = [change(*each) for each in zip(entries[::3], entries[1::3], entries[2::3], strict=True)]
        return Changes(found, found[-1].cursor if found else after or trimmed.decode() or BEGINNING, bool(more))

    async def oldest(self, collection: Collection) -> str:
        """Return the cursor after which all changes are kept."""
        state = collection.journal_state
        trimmed = await self._runner.command("HGET", state, "trimmed", key=state)
        return trimmed.decode() if trimmed else BEGINNING

    async def latest(self, collection: Collection) -> str:
        """Return the cursor of the newest change, after which there are no changes yet."""
        key = collection.journal
        if last := await self._runner.command("XREVRANGE", key, "+", "-", "COUNT", 1, key=key):
            return str(last[0][0].decode())
        return await self.oldest(collection)

    async def entry(self, collection: Collection, cursor: str) -> Change | None:
        """Return one change, with its value if it was kept; None if there is none. Raises Invalid."""
        position(cursor)
        key = collection.journal
        found = await self._runner.command("XRANGE", key, cursor, cursor, key=key)
        return decode(*found[0]) if found else None

    async def history(
        self, collection: Collection, id: str, before: str | None, limit: int
    ) -> tuple[list[Change], str | None]:
        """Return the changes of one record without values, newest first, and the cursor for the next page, None at the
        end.

        `before` is the cursor at which the former page ended. The journal is scanned, so its length determines the
        time: 10,000 entries take 20 steps. Raises Invalid.
        """
        if before is not None and position(before) == position(BEGINNING):
            return [], None
        found: list[Change] = []
        at = before or ""
        while len(found) <= limit:
            scanned, entries = await self._runner.run(
                "history",
                (collection.journal,),
                start=packed_id(id),
                before=at,
                limit=limit + 1 - len(found),
                most=SCANNED,
            )
            found += [change(*each) for each in zip(entries[::2], entries[1::2], strict=True)]
            if not scanned:
                return found[:limit], found[limit - 1].cursor if len(found) > limit else None
            at = scanned.decode()
        return found[:limit], found[limit - 1].cursor
