"""Preconditions on a record's state (RFC 9110, section 13), and how the scripts are told of them."""

from dataclasses import dataclass
from functools import cached_property

from service.storage.errors import Changed
from service.storage.records.record import Record, Saved

ANYTHING, NEW, ABSENT, PRESENT = "", "new", "absent", "present"  # as lua/include/precondition_error.lua reads them
ANY = frozenset({"*"})


def exactly(record: Record | Saved) -> str:
    """Only this state of the record: microseconds tell a version 1 from the version 1 after a delete."""
    return f"{record.version}:{record.updated}"


@dataclass(frozen=True)
class Condition:
    """What `If-Match` and `If-None-Match` ask for: etags, or `ANY`; None where the header is absent.

    `state` is the scripts' word for it, None where the record's etag has to be looked at first.
    """

    match: frozenset[str] | None = None
    none_match: frozenset[str] | None = None

    @cached_property
    def state(self) -> str | None:
        if self.match is None and self.none_match is None:
            return ANYTHING
        if self.match == ANY and self.none_match is None:
            return PRESENT
        if self.match is None and self.none_match == ANY:
            return ABSENT
        return None

    def on(self, record: Record) -> str:
        """The state to hold the script to. Raises Changed where the condition fails on this record."""
        if self.match not in (None, ANY) and record.etag not in self.match:
            raise Changed("the record has another etag")
        if self.none_match == ANY or (self.none_match is not None and record.etag in self.none_match):
            raise Changed("the record has that etag")
        return exactly(record)

    def on_nothing(self) -> str:
        """The same where there is no record."""
        if self.match is not None:
            raise Changed("no such key")
        return ABSENT


UNCONDITIONAL = Condition()
