"""The limits of a journal: how much of it is kept."""

from functools import lru_cache

from msgspec import Struct

from service.storage.journal.change import start


class Retention(Struct, frozen=True):
    """The limits of a journal: it keeps at least the last `entries` of a collection and drops what is older than
    `seconds`. With `values` it has the bodies too, if they are short enough to be stored without staging.
    """

    entries: int = 10_000
    seconds: int = 604_800
    values: bool = True

    def entry(self, operation: str, id: str, author: str, size: int, etag: str) -> bytes:
        """Return what a script needs to know to enter a change; lua/include/open_journal.lua reads it."""
        return self.opening(author) + start(operation, id, author, size, etag)

    def opening(self, author: str) -> bytes:
        """Return the first part of `entry`, which all changes of an author have in common."""
        return _opening(self.entries, self.seconds, self.values, author)


@lru_cache(maxsize=1024)
def _opening(entries: int, seconds: int, values: bool, author: str) -> bytes:
    return b"%d%c%010d %010d" % (values, len(author.encode()), entries, seconds)
