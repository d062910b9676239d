"""Checks that a history is that of one register for each key, by the versions in the answers.

Each write raises the version of a record by one. So the order in which the known writes of a key took effect is known,
and a few passes over the calls replace a search through all orders. They check that:

- each version was acknowledged once, and each value has one version;
- a call that ended before another began does not have a higher version;
- no read sees a refused write;
- a conditional write directly follows the state that its condition named;
- members that a patch does not name are as the last write of the whole record left them.

The versions of writes of unknown outcome are not known. `orders.py` searches for any versions of them that make the
history possible. Keys are never deleted in a trial, because versions would begin again. `linearizability.py` checks
histories without versions.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from tests.faults.history import History, Outcome, Read, Write
from tests.faults.orders import Event, Orders, Sight, Undecided


class Judgement(NamedTuple):
    """The result: `found` has everything that is impossible, `undecided` the keys whose search was given up."""

    found: list[str]
    undecided: list[str]


def check(history: History) -> list[str]:
    """Return everything that is impossible in a history."""
    return judge(history).found


def judge(history: History) -> Judgement:
    judgement = Judgement([], [])
    for key, part in history.by_key().items():
        try:
            judgement.found.extend(f"{key}: {fault}" for fault in Chain(part).faults())
        except Undecided:
            judgement.undecided.append(key)
    return judgement


class Chain:
    """The history of one key, and what is known about each value, version and etag in it."""

    def __init__(self, history: History) -> None:
        self.writes, self.reads = history.writes, history.reads
        self.writer: dict[str, Write] = {}
        for write in self.writes:
            assert write.value not in self.writer, f"two writes carry {write.value}"
            self.writer[write.value] = write
        self.at: dict[str, int] = {}  # value -> its version
        self.holder: dict[int, str] = {}  # version -> its value
        self.values: dict[str, str] = {}  # etag -> its value
        self.etags: dict[str, str] = {}  # value -> its etag
        self.sights: dict[str, Sight] = {}  # value -> its write and the reads that saw it
        self.anonymous: dict[int, Sight] = {}  # version whose value is not known -> the reads of it
        self.nameless: dict[str, int] = {}  # etag whose value is not known -> its version
        self.found: list[str] = []

    def faults(self) -> list[str]:
        self._acknowledged()
        self._seen()
        if not self.found:
            self._gathered()
            self._in_time()
            self._conditions()
            self._replaced()
        if not self.found and (fault := Orders(self).fault()):
            self.found.append(fault)
        return self.found

    def _stands(self, value: str, version: int, how: str) -> None:
        """Record the version of a value; add a fault if it contradicts what is recorded."""
        if self.at.setdefault(value, version) != version:
            self.found.append(f"doubled: {value} is at version {self.at[value]} and, {how}, at {version}")
        elif (other := self.holder.setdefault(version, value)) != value:
            self.found.append(f"lost: version {version} is that of {other} and, {how}, of {value}")

    def _named(self, etag: str | None, value: str) -> None:
        """Record the value of an etag; add a fault if it contradicts what is recorded."""
        if etag is not None and (
            self.values.setdefault(etag, value) != value or self.etags.setdefault(value, etag) != etag
        ):
            self.found.append(f"torn: {value} does not have one etag of its own")

    def _acknowledged(self) -> None:
        for write in self.writes:
            if write.outcome is Outcome.OK and write.version is not None:
                self._stands(write.value, write.version, "acknowledged")
            if write.outcome is Outcome.OK:
                self._named(write.etag, write.value)

    def _seen(self) -> None:
        for read in self.reads:
            for value in {read.value, read.replaced_by} - {None}:
                writer = self.writer.get(str(value))
                if writer is None:
                    self.found.append(f"made up: {value} was read and never written")
                elif writer.outcome is Outcome.REFUSED:
                    self.found.append(f"half refused: {value} was refused and is read")
            if read.value is not None:
                self._named(read.etag, read.value)
        for read in self.reads:
            value = self.value(read)
            if read.version and value in self.writer:
                self._stands(str(value), read.version, "read")
            elif read.version and read.etag and self.nameless.setdefault(read.etag, read.version) != read.version:
                self.found.append(f"doubled: one etag is at versions {self.nameless[read.etag]} and {read.version}")

    def value(self, read: Read) -> str | None:
        """Return the value that a read saw, or None if it is not known."""
        return read.value if read.value is not None or read.etag is None else self.values.get(read.etag)

    def _version(self, read: Read) -> int | None:
        value = self.value(read)
        return read.version if read.version is not None or value is None else self.at.get(value)

    def _gathered(self) -> None:
        """Group the calls by value, and reads whose value is not known by version."""
        for write in self.writes:
            if write.outcome is not Outcome.REFUSED:
                self.sights[write.value] = Sight.of(write)
        for read in self.reads:
            value = self.value(read)
            if value is None and read.version in self.holder:
                value = self.holder[read.version]
                self._named(read.etag, value)
            if value is not None:
                self.sights[value].add(read)
            elif read.version is not None:
                self.anonymous.setdefault(read.version, Sight()).add(read)
        for version, sight in self.anonymous.items():
            if len(sight.etags) > 1:
                self.found.append(f"lost: version {version} was read with two etags")

    def _events(self) -> Iterator[Event]:
        for write in self.writes:
            if (version := self.at.get(write.value)) is not None:
                yield Event.of(version, write)
        for read in self.reads:
            if (version := self._version(read)) is not None:
                yield Event(version, True, read.invoked, read.returned, f"a read of version {version}")

    def _in_time(self) -> None:
        """Check that a call has at least the version of each call that had ended before it began."""
        latest = Event(0, False, float("-inf"), float("inf"), "")
        begun: list[Event] = []  # the write of one version, or the reads of it; the write comes first
        for event in sorted(self._events()):
            if begun and begun[-1][:2] != event[:2]:
                latest, begun = max([latest, *begun], key=lambda each: each.invoked), []
            begun.append(event)
            if event.returned < latest.invoked:
                kind = "stale" if latest.reads else "reordered"
                self.found.append(
                    f"{kind}: {latest.what} (version {latest.version}) began after {event.what} "
                    f"(version {event.version}) had ended"
                )
                return

    def _conditions(self) -> None:
        for write in self.writes:
            if write.expected is None or write.value not in self.at:
                continue
            before = self.at.get(self.values.get(write.expected, ""), self.nameless.get(write.expected))
            if before is not None and before != self.at[write.value] - 1:
                stands = self.at[write.value]
                self.found.append(f"condition broken: {write.value} at version {stands} was to follow on {before}")

    def _replaced(self) -> None:
        whole = sorted([0, *(version for value, version in self.at.items() if self.writer[value].replaces)])
        for read in self.reads:
            version, base = self._version(read), read.replaced_by
            if base is None or version is None or base not in self.at:
                continue
            last = whole[bisect_right(whole, version) - 1]  # the last write of the whole record up to this version
            if self.at[base] > version or self.at[base] < last <= version:
                self.found.append(f"torn: version {version} shows what {base} left at version {self.at[base]}")
