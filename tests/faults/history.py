"""The history of the clients' calls: one entry for each call, with its times in seconds of one monotonic clock.

Each write has a value that no other write has, so a read shows which write it saw.
"""

from dataclasses import dataclass, field
from enum import Enum
from math import inf


class Outcome(Enum):
    """The outcome of a call, as far as its client knows."""

    OK = "ok"
    REFUSED = "refused"  # nothing was done
    UNKNOWN = "unknown"  # the write may have taken effect, may take effect later, or never


@dataclass(slots=True)
class Write:
    """A write. `replaces`: it writes the whole record, otherwise only the value. `expected`: the etag in its condition.

    `version` and `etag` are from the answer, None if the answers of the dialect do not have them. `batch`: the name of
    the batch that it is an operation of, None if it is a request of its own.
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
    batch: str | None = None


@dataclass(slots=True)
class Read:
    """A read that was answered. A member is None if the answer does not show it.

    `replaced_by` is the value of the last write of the whole record. `version` 0 means that there was no record.
    `together`: the name of the read of several keys that it is a part of, None if it is a request of its own.
    """

    key: str
    invoked: float
    returned: float
    value: str | None = None
    replaced_by: str | None = None
    version: int | None = None
    etag: str | None = None
    together: str | None = None


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
