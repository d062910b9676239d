"""The limits of a journal: how much of it is kept."""

from msgspec import Struct


class Retention(Struct, frozen=True):
    """The limits of a journal: it keeps at least the last `entries` of a collection and drops what is older than
    `seconds`. With `values` it has the bodies too, if they are short enough to be stored without staging.
    """

    entries: int = 10_000
    seconds: int = 604_800
    values: bool = True

    def entry(self, operation: str, etag: str, author: str) -> str:
        """Return what a script needs to know to enter a change; lua/include/open_journal.lua reads it."""
        return f"{self.entries} {self.seconds} {self.values:d} {operation} {etag} {author}"
