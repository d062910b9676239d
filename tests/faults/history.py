"""The history of clients' calls: one entry a call, in seconds of one monotonic clock.

A write carries a value that no other write carries, so whoever reads it knows whose it is.
"""

from dataclasses import dataclass, field
from enum import Enum
from math import inf


class Outcome(Enum):
    """The outcome of a call, as its client may conclude it."""

    OK = "ok"
    REFUSED = "refused"  # surely nothing was done
    UNKNOWN = "unknown"  # it may have been done, may be done later, or never


@dataclass(slots=True)
class Write:
    """`replaces`: the whole record is new, otherwise only its value is. `expected` is the etag of a conditional write.

    `version` and `etag` are what the answer said, None where the dialect does not say.
    """

    key: str
    value: str
    invoked: float
    replaces: bool = True
    expected: str | None = None
    returned: float = inf
    outcome: Outcome = Outcome.UNKNOWN
    version: int | None = None
    etag: str | None = None


@dataclass(slots=True)
class Read:
    """The content of one answered read, as far as it says so: the value, the value that the record was last replaced
    by, the version (0: there was no record), the etag."""

    key: str
    invoked: float
    returned: float
    value: str | None = None
    replaced_by: str | None = None
    version: int | None = None
    etag: str | None = None


@dataclass(slots=True)
class History:
    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)

    def by_key(self) -> dict[str, "History"]:
        parts: dict[str, History] = {}
        for write in self.writes:
            parts.setdefault(write.key, History()).writes.append(write)
        for read in self.reads:
            parts.setdefault(read.key, History()).reads.append(read)
        return parts

    def count(self, outcome: Outcome) -> int:
        return sum(write.outcome is outcome for write in self.writes)
