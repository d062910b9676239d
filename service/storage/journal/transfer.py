"""Reads journals for an export and restores them, entry by entry, with their cursors.

An entry is added only after all existing entries, so a journal never gets a change that its readers have passed. Its
total continues from the bytes of the journal that it enters, so totals always rise. Restoring an entry again changes
nothing.
"""

from collections.abc import AsyncIterator, Sequence

from msgspec import Struct

from service.storage import keys
from service.storage.journal.change import decode_header, encode_header, position, unpacked, weight, without_total
from service.storage.keys import Collection
from service.storage.outcomes import Outcome
from service.storage.scripts.fan_out import all_of
from service.storage.scripts.reply import Reply
from service.storage.scripts.runner import Runner

STEP = 32  # entries in one command: at most 1 MB
PORTION = 500  # fields in one command
# Fields of the state: see lua/include/enter_change.lua and trim_portion.lua.
BYTES, FREED, TRIMMED = "bytes", "freed", "trimmed"


class Entry(Struct, frozen=True):
    """An entry as an archive has it. `header` is a packed `Header`; `total` are the bytes of all entries that were ever
    added, up to this one.
    """

    cursor: str
    header: bytes
    total: int
    value: bytes

    @property
    def before(self) -> int:
        """The bytes of all entries before this one. Raises msgspec.DecodeError if the header is not one."""
        header = decode_header(self.header)
        return self.total - weight(header.id, header.author, self.value)


class JournalTransfer:
    """Journals, read for an export and restored."""

    def __init__(self, runner: Runner) -> None:
        self._command, self._run = runner.command, runner.run

    async def bytes(self, collection: Collection) -> int | None:
        """Return the bytes of all entries that were ever added to a journal; None if there is no journal."""
        key = collection.journal_state
        found = await self._command("HGET", key, BYTES, key=key)
        return None if found is None else int(found)

    async def state(self, collection: Collection, most: int) -> AsyncIterator[dict[str, str]]:
        """Read the state beside a journal, except its bytes, a portion at a time.

        The journal is read as it was when it had `most` bytes: bytes removed since then do not count as removed.
        """
        key, cursor = collection.journal_state, b"0"
        [*first] = await self._command("XRANGE", collection.journal, "-", "+", "COUNT", 1, key=collection.journal)
        removed = max(0, min([most, *(_entry(each).before for each in first)]))
        while True:
            cursor, pairs = await self._command("HSCAN", key, cursor, "COUNT", PORTION, key=key)
            found = {name.decode(): value.decode() for name, value in zip(pairs[::2], pairs[1::2], strict=True)}
            found.pop(BYTES, None)
            if FREED in found:
                found[FREED] = str(min(int(found[FREED]), removed))
            yield found
            if cursor == b"0":
                return

    async def walk(self, collection: Collection, most: int) -> AsyncIterator[list[Entry]]:
        """Read the entries whose total is at most `most`, oldest first, a portion at a time."""
        key, after = collection.journal, "-"
        while True:
            found = await self._command("XRANGE", key, after, "+", "COUNT", STEP, key=key)
            entries = [*map(_entry, found)]
            yield [entry for entry in entries if entry.total <= most]
            if len(entries) < STEP or entries[-1].total > most:
                return
            after = f"({entries[-1].cursor}"

    async def restore_state(self, collection: Collection, fields: dict[str, str], most: int) -> None:
        """Restore the state of a journal of `most` bytes: the fields that are not stored yet.

        The counts of bytes follow from the entries; they are restored here only if all entries were removed. The cursor
        of the last removed entry is restored only if this journal never had an entry; otherwise its readers have missed
        nothing. The state of an expiring record is left out if the record does not exist or does not expire.
        """
        key, expiry = collection.journal_state, collection.expiry
        left_out = {BYTES, FREED, TRIMMED}
        if expiring := [name for name in fields if name.startswith(":")]:
            scores = await self._command("ZMSCORE", expiry, *(name[1:] for name in expiring), key=expiry)
            left_out |= {name for name, score in zip(expiring, scores, strict=True) if score is None}
        others = [field for field in fields.items() if field[0] not in left_out]
        commands = [self._command("HSETNX", key, *field, key=key, write=True) for field in others]
        if int(fields.get(FREED, 0)) == most:
            commands.append(self.reenter(collection, freed=most))
        if TRIMMED in fields:
            commands.append(self.reenter(collection, trimmed=fields[TRIMMED]))
        await all_of(commands)

    def reenter(
        self, collection: Collection, entry: Entry | None = None, *, freed: int | None = None, trimmed: str = ""
    ) -> Reply:
        """Return the command that adds an entry, or that records what was removed from the exported journal."""
        before = freed if entry is None else entry.before
        return self._run(
            "reenter",
            collection.journaled,
            cursor=entry.cursor if entry else "",
            trimmed=trimmed,
            freed="" if before is None else before,
            weight=entry.total - entry.before if entry else 0,
            header=without_total(decode_header(entry.header)) if entry else "",
            value=entry.value if entry else "",
        )

    async def restore_many(self, collection: Collection, entries: Sequence[Entry]) -> list[Outcome]:
        """Restore entries, oldest first, and return the outcome of each."""
        replies = await all_of(self.reenter(collection, one) for one in entries)
        outcomes = [
            Outcome.STORED if added else await self._compare(collection, entry)
            for entry, added in zip(entries, replies, strict=True)
        ]
        usage = keys.usage(collection.dialect, collection.namespace)  # counted again, with the bytes of journals
        await self._command("UNLINK", usage, key=usage, write=True)
        return outcomes

    async def _compare(self, collection: Collection, entry: Entry) -> Outcome:
        """Return the outcome for an entry that could not be added."""
        key, state = collection.journal, collection.journal_state
        found = await self._command("XRANGE", key, entry.cursor, entry.cursor, key=key)
        if found:
            header, _, value = unpacked(found[0][1])
            same = (header, value) == (decode_header(entry.header), entry.value)
            return Outcome.PRESENT if same else Outcome.DIFFERENT
        trimmed = await self._command("HGET", state, TRIMMED, key=state)
        gone = trimmed is not None and position(entry.cursor) <= position(trimmed.decode())
        return Outcome.EXPIRED if gone else Outcome.DIFFERENT


def _entry(found: tuple[bytes, list[bytes]]) -> Entry:
    cursor, fields = found
    header, total, value = unpacked(fields)
    return Entry(cursor.decode(), encode_header(header), total, value)
