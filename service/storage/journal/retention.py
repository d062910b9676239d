"""The limits of a journal."""

from functools import lru_cache

from msgspec import Struct

from service.storage.journal.change import start


class Retention(Struct, frozen=True):
    """The limits of a journal: it keeps at least the last `entries` of a collection, and drops entries older than
    `seconds`. With `values`, entries contain the bodies that are short enough to be stored without staging.
    """

    entries: int = 10_000
    seconds: int = 604_800
    values: bool = True

    def entry(self, operation: str, id: str, author: str, size: int, etag: str) -> bytes:
        """Return the argument with which a script enters a change; lua/include/open_journal.lua reads it."""
        return self.opening(author) + start(operation, id, author, size, etag)

    def opening(self, author: str) -> bytes:
        """Return the first part of `entry`, which all changes of an author have in common."""
        return _opening(self.entries, self.seconds, self.values, author)


@lru_cache(maxsize=1024)
def _opening(entries: int, seconds: int, values: bool, author: str) -> bytes:
    return b"%d%c%010d %010d" % (values, len(author.encode()), entries, seconds)
