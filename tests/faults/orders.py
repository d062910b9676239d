"""Searches for versions of the writes of unknown outcome that make a history possible.

A write of unknown outcome may have taken effect at one moment after its beginning, also after its answer, or never. If
no version of it is known, it is a free write. Each version without a known write was made by a free write, and each
value that was read has a version. The known calls restrict the choice: no call ends before another one of a lower
version has begun, a conditional write directly follows the state that its condition named, and a read shows what the
last write of the whole record left.

The search goes from the lowest version to the highest. If the write of a version is known, there is no choice.
Otherwise every write that fits is tried, depth first, and no state is visited twice. Writes of one kind that no read
saw differ only in their beginning. If an order is possible with the later one first, it is also possible with the
earlier one first, so only the earliest is tried. A search that takes too long is given up, and its key is undecided.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple, Protocol

from tests.faults.history import Outcome, Read, Write

STATES = 50_000  # visited for one key, at most: about a second; usually some dozens are enough


class Undecided(Exception):
    """The search took too long and was given up."""


class Event(NamedTuple):
    """A call whose version is known."""

    version: int
    reads: bool
    invoked: float
    returned: float
    what: str

    @classmethod
    def of(cls, version: int, write: Write) -> "Event":
        returned = write.returned if write.outcome is Outcome.OK else inf
        return cls(version, False, write.invoked, returned, f"the write of {write.value}")


@dataclass(slots=True)
class Sight:
    """The calls of one version: when the last of them began, when the first one ended, and what reads showed."""

    begun: float = -inf
    ended: float = inf
    seen: float = inf  # when the first read of this version ended
    bases: set[str] = field(default_factory=set)
    etags: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, write: Write) -> "Sight":
        return cls(write.invoked, write.returned if write.outcome is Outcome.OK else inf)

    def add(self, read: Read) -> None:
        self.begun, self.ended = max(self.begun, read.invoked), min(self.ended, read.returned)
        self.seen = min(self.seen, read.returned)
        if read.replaced_by is not None:
            self.bases.add(read.replaced_by)
        if read.etag is not None:
            self.etags.add(read.etag)


class Facts(Protocol):
    """The facts about one key, which `versions.Chain` collects."""

    writes: list[Write]
    writer: dict[str, Write]
    holder: dict[int, str]
    at: dict[str, int]
    values: dict[str, str]
    etags: dict[str, str]
    sights: dict[str, Sight]
    anonymous: dict[int, Sight]
    nameless: dict[str, int]


class State(NamedTuple):
    """The register at a version. `used`: free writes up to here. `latest`: when the last call up to here began."""

    version: int
    value: str | None
    base: str | None
    used: frozenset[str]
    latest: float


class Orders:
    """The search for one key."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._highest = max([*facts.holder, *facts.anonymous], default=0)
        known = {value for value in facts.sights if value in facts.at}
        self._free = sorted(facts.sights.keys() - known, key=lambda value: facts.writer[value].invoked)
        self._wanted = dict(self._due(set(self._free)))
        self._ends = self._horizon()
        self._deepest = (-1, "")

    def _due(self, free: set[str]) -> Iterator[tuple[str, float]]:
        """Yield the free writes that took effect, as reads show, and the moment before which they did."""
        for value, sight in self._facts.sights.items():
            if value in free and sight.ended < inf:
                yield value, sight.ended
        for sight in self._facts.sights.values():
            for base in sight.bases & free:
                if self._facts.sights[base].ended == inf:
                    yield base, min(each.seen for each in self._facts.sights.values() if base in each.bases)

    def _horizon(self) -> Mapping[int, float]:
        """Return, for each version, when the first call of this or a higher version ended."""
        ends, least = {}, inf
        for version in range(self._highest, -1, -1):
            value = self._facts.holder.get(version)
            for sight in (self._facts.anonymous.get(version), self._facts.sights[value] if value else None):
                least = min(least, sight.ended if sight else inf)
            ends[version] = least
        return ends

    def fault(self) -> str | None:
        """Return why no order is possible, or None if one is. Raises Undecided."""
        nothing = self._facts.anonymous.get(0, Sight())
        stack, tried = [State(0, None, None, frozenset(), nothing.begun)], set()
        while stack:
            state = self._through(stack.pop())
            if state is None or state[:4] in tried:
                continue
            if state.version >= self._highest and self._wanted.keys() <= state.used:
                return None
            tried.add(state[:4])
            if len(tried) > STATES:
                raise Undecided
            followers = [self._step(state, value) for value in self._choices(state)]
            stack += [follower for follower in followers if follower]
            if not any(followers):
                self._note(state.version, f"doubled: version {state.version + 1} is no write's own")
        return self._deepest[1]

    def _note(self, version: int, fault: str) -> None:
        """Remember the fault at the highest version that the search has reached."""
        if version > self._deepest[0]:
            self._deepest = (version, fault)

    def _through(self, state: State | None) -> State | None:
        """Go on over all versions whose writes are known."""
        while state and (value := self._facts.holder.get(state.version + 1)):
            state = self._step(state, value)
        return state

    def _choices(self, state: State) -> list[str]:
        """Return the free writes for the next version; the one that must take effect first is the last."""
        left = [value for value in self._free if value not in state.used]
        unseen: dict[tuple[str | None, bool], str] = {}
        for value in left if state.version < self._highest else []:
            if value not in self._wanted:
                write = self._facts.writer[value]
                unseen.setdefault((write.expected, write.replaces), value)
        wanted = [value for value in left if value in self._wanted]
        return [*unseen.values(), *sorted(wanted, key=lambda value: -self._wanted[value])]

    def _step(self, state: State, value: str) -> State | None:
        """Return the state after this write, or None if it cannot be the next write."""
        facts, version = self._facts, state.version + 1
        write, sight, more = facts.writer[value], facts.sights[value], facts.anonymous.get(version, Sight())
        latest = max(state.latest, sight.begun, more.begun)
        base = write.value if write.replaces else state.base
        used = state.used if value in facts.at else state.used | {value}
        overdue = [each for each, end in self._wanted.items() if end < latest and each not in used]
        if min(sight.ended, more.ended) < max(state.latest, write.invoked):
            self._note(version, f"reordered: {value} at version {version} had ended before a lower version began")
        elif self._ends.get(version + 1, inf) < latest:
            self._note(state.version, f"doubled: version {version} is no write's own")
        elif not self._follows(write, state):
            self._note(version, f"condition broken: {value} at version {version} does not follow on what it named")
        elif sight.bases - {base}:
            self._note(version, f"torn: version {version}, of {value}, shows what {sight.bases - {base}} left")
        elif more.etags and value in facts.etags and facts.etags[value] not in more.etags:
            self._note(version, f"lost: version {version} was read, and not as {value}")
        elif overdue:
            self._note(version, f"lost: {overdue[0]} was read, and no version is left that was its own")
        else:
            return State(version, value, base, used, latest)
        return None

    def _follows(self, write: Write, state: State) -> bool:
        """Return True if the state is the one that the write's condition named, as far as that is known."""
        facts, etag = self._facts, write.expected
        if etag is None or state.value is None:
            return etag is None
        if state.value in facts.etags or etag in facts.values:
            return facts.values.get(etag) == state.value
        told = facts.anonymous.get(state.version, Sight()).etags or {etag}
        return etag in told and facts.nameless.get(etag, state.version) == state.version
