"""Is a history that of one register for each key? Cheap to say where answers tell versions.

A record's version grows by one with each write. So the order in which the writes of a key took effect is known, and
what would take a search through all orders is a few passes over the calls:

- each version was acknowledged once, and each value stands at one version;
- no call that returned before another began has a higher version than that one;
- each version up to the highest is some write's: an acknowledged one's or, one by one, those of unknown outcome;
- a refused write is seen by nobody;
- a write under a condition follows directly on the state that it named.

Keys are never deleted here, for versions start again after that; `zones.py` needs no versions.
"""

from collections.abc import Iterator
from math import inf
from typing import NamedTuple

from tests.faults.history import History, Outcome, Read, Write


class Event(NamedTuple):
    """A call whose version is known."""

    version: int
    reads: bool
    invoked: float
    returned: float
    what: str


def check(history: History) -> list[str]:
    """Every way in which the history cannot have been; none when it can."""
    return [f"{key}: {fault}" for key, part in history.by_key().items() for fault in Chain(part).faults()]


class Chain:
    """The history of one key."""

    def __init__(self, history: History) -> None:
        self.writes, self.reads = history.writes, history.reads
        self.writer: dict[str, Write] = {}
        for write in self.writes:
            assert write.value not in self.writer, f"two writes carry {write.value}"
            self.writer[write.value] = write
        self.at: dict[str, int] = {}  # value -> the version that it stands at
        self.values: dict[str, str] = {}  # etag -> value
        self.found: list[str] = []

    def faults(self) -> list[str]:
        self._acknowledged()
        self._seen()
        self._placed()
        self._contiguous()
        self._in_time()
        self._conditions()
        self._replaced()
        return self.found

    def _stands(self, value: str, version: int, how: str) -> None:
        """Note where a value stands, and complain where something else was said."""
        if self.at.setdefault(value, version) != version:
            self.found.append(f"doubled: {value} is at version {self.at[value]} and, {how}, at {version}")

    def _acknowledged(self) -> None:
        holder: dict[int, str] = {}
        for write in self.writes:
            if write.outcome is not Outcome.OK or write.version is None:
                continue
            other = holder.setdefault(write.version, write.value)
            if other != write.value:
                self.found.append(f"lost: version {write.version} was acknowledged to {other} and to {write.value}")
            self._stands(write.value, write.version, "acknowledged")
            if write.etag is not None:
                self.values[write.etag] = write.value

    def _seen(self) -> None:
        for read in self.reads:
            if read.value is None:
                continue
            writer = self.writer.get(read.value)
            if writer is None:
                self.found.append(f"made up: {read.value} was read and never written")
            elif writer.outcome is Outcome.REFUSED:
                self.found.append(f"half refused: {read.value} was refused and is read")
            elif read.etag is not None:
                self.values[read.etag] = read.value
        for read in self.reads:
            if read.version and (value := self._value(read)) is not None:
                self._stands(value, read.version, "read")

    def _value(self, read: Read) -> str | None:
        """Whose write a read saw, if that is known."""
        if read.value is not None:
            return read.value if read.value in self.writer else None
        return self.values.get(read.etag) if read.etag is not None else None

    def _version(self, read: Read) -> int | None:
        if read.version is not None:
            return read.version
        value = self._value(read)
        return self.at.get(value) if value is not None else None

    def _events(self) -> Iterator[Event]:
        for write in self.writes:
            if (version := self.at.get(write.value)) is not None:
                returned = write.returned if write.outcome is Outcome.OK else inf
                yield Event(version, False, write.invoked, returned, f"the write of {write.value}")
        for read in self.reads:
            if (version := self._version(read)) is not None:
                yield Event(version, True, read.invoked, read.returned, f"a read of version {version}")

    def _gaps(self) -> list[int]:
        """Versions that were, and that no write is known to have made."""
        taken = set(self.at.values())
        return [version for version in range(1, self._highest() + 1) if version not in taken]

    def _highest(self) -> int:
        return max([*self.at.values(), *(read.version or 0 for read in self.reads)], default=0)

    def _placed(self) -> None:
        """Give a version to each value of unknown outcome that was read by somebody who was not told the version."""
        seen: dict[str, list[Read]] = {}
        for read in self.reads:
            if read.value in self.writer and self._version(read) is None:
                seen.setdefault(str(read.value), []).append(read)
        events, gaps, wanted = list(self._events()), self._gaps(), []
        for value, reads in seen.items():
            begun = max([self.writer[value].invoked, *(read.invoked for read in reads)])
            least = 1 + max((e.version for e in events if e.returned < self.writer[value].invoked), default=0)
            least = max([least, *(e.version for e in events if e.returned < begun)])
            first = min(read.returned for read in reads)
            most = min((e.version for e in events if e.invoked > first), default=inf)
            wanted.append((most, first, least, value))
        for most, _, least, value in sorted(wanted):
            fitting = [gap for gap in gaps if least <= gap <= most]
            if not fitting and most == inf:
                fitting = [self._highest() + 1]  # nobody was told a version as high as its own
            if not fitting:
                self.found.append(f"lost: {value} was read, and no version is left that was its own")
                continue
            self.at[value] = fitting[0]
            gaps = [gap for gap in gaps if gap != fitting[0]]

    def _contiguous(self) -> None:
        """Each gap needs a write of unknown outcome that had begun before anybody could know of a later version."""
        gaps = self._gaps()
        begun = sorted(w.invoked for w in self.writes if w.outcome is Outcome.UNKNOWN and w.value not in self.at)
        known: list[tuple[int, float]] = sorted((event.version, event.returned) for event in self._events())
        for number, gap in enumerate(gaps):
            by = min((returned for version, returned in known if version >= gap), default=inf)
            if number >= len(begun) or begun[number] >= by:
                self.found.append(f"doubled: version {gap} is no write's own")

    def _in_time(self) -> None:
        """Whoever began after somebody returned saw at least as high a version."""
        latest, what, top = -inf, "", 0
        events = sorted(self._events())
        start = 0
        while start < len(events):
            # A write and the reads of what it wrote have one version; the write is the earlier.
            end = start
            while end < len(events) and events[end][:2] == events[start][:2]:
                end += 1
            group = events[start:end]
            for event in group:
                if event.returned < latest:
                    kind = "stale" if what.startswith("a read") else "reordered"
                    self.found.append(
                        f"{kind}: {what} (version {top}) began after {event.what} (version {event.version}) had ended"
                    )
                    return
            for event in group:
                if event.invoked > latest:
                    latest, what, top = event.invoked, event.what, event.version
            start = end

    def _conditions(self) -> None:
        for write in self.writes:
            if write.expected is None or write.value not in self.at or write.expected not in self.values:
                continue
            before = self.at.get(self.values[write.expected])
            if before is not None and before != self.at[write.value] - 1:
                stands = self.at[write.value]
                self.found.append(f"condition broken: {write.value} at version {stands} was to follow on {before}")

    def _replaced(self) -> None:
        """What a patch does not name is what the last write of the whole record left."""
        whole = {version for value, version in self.at.items() if self.writer[value].replaces}
        for read in self.reads:
            version, base = self._version(read), read.replaced_by
            if base is None or version is None or base not in self.at:
                continue
            if self.at[base] > version or any(self.at[base] < other <= version for other in whole):
                self.found.append(f"torn: version {version} shows what {base} left at version {self.at[base]}")
