"""Preconditions on a record's state (RFC 9110, section 13), and their format for scripts."""

from dataclasses import dataclass
from functools import cached_property

from service.storage.errors import Changed
from service.storage.records.record import Record, Saved

ANYTHING, NEW, ABSENT, PRESENT = "", "new", "absent", "present"  # as lua/include/precondition_error.lua reads them
ANY = frozenset({"*"})


def exactly(record: Record | Saved) -> str:
    """Return the condition that a record has exactly this state. The microseconds distinguish equal versions
    after a delete.
    """
    return f"{record.version}:{record.updated}"


@dataclass(frozen=True)
class Condition:
    """The conditions of `If-Match` and `If-None-Match`: etags, or `ANY`; None if the header is absent.

    `state` is the condition for scripts, None if the record's etag must be compared first.
    """

    match: frozenset[str] | None = None
    none_match: frozenset[str] | None = None

    @cached_property
    def state(self) -> str | None:
        """The condition for scripts, None if the record's etag must be compared first."""
        if self.match is None and self.none_match is None:
            return ANYTHING
        if self.match == ANY and self.none_match is None:
            return PRESENT
        if self.match is None and self.none_match == ANY:
            return ABSENT
        return None

    def on(self, record: Record) -> str:
        """Compare the record's etag; return the state that the script must find. Raises Changed."""
        if self.match not in (None, ANY) and record.etag not in self.match:
            raise Changed("the record has none of the given etags")
        if self.none_match == ANY or (self.none_match is not None and record.etag in self.none_match):
            raise Changed("the record has one of the given etags")
        return exactly(record)

    def on_nothing(self) -> str:
        """Return the state that the script must find if there is no record. Raises Changed."""
        if self.match is not None:
            raise Changed("no such key")
        return ABSENT


UNCONDITIONAL = Condition()
