"""Places for the writes of unknown outcome among the versions: any way to place them will do.

A write of unknown outcome may have taken effect at any one moment from its beginning on, also after its answer, or
never. So each version that no known write made was made by one of these, each value that was read has a version, and
the calls that are known bound which: no call ends before another one of a lower version has begun; a condition follows
directly on what it named; a read shows what the last write of the whole record left.

The versions are walked upwards. Where one is known there is nothing to choose; in a gap every write that fits is tried,
depth first, and no state is entered twice. Of the writes that nobody saw those of one kind differ in nothing but their
beginning: whatever order holds with the later first holds with the earlier first too, so that only the earliest is
tried. Sound whatever happens: a search that outgrows its bound is given up, and said to be undecided.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple, Protocol

from tests.faults.history import Outcome, Read, Write

STATES = 50_000  # of one key's search: a second or so; some dozens are usual


class Undecided(Exception):
    """The search was given up."""


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
    """Calls that belong to one version: when the last of them began and the first one ended, and what reads told."""

    begun: float = -inf
    ended: float = inf
    seen: float = inf  # when the first read of it ended
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
    """The facts about one key; `versions.py` has them."""

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
    """The register after so many writes. `latest` is when the last call up to here began."""

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
        """Free writes that did take effect, and by when."""
        for value, sight in self._facts.sights.items():
            if value in free and sight.ended < inf:
                yield value, sight.ended
        for sight in self._facts.sights.values():
            for base in sight.bases & free:
                if self._facts.sights[base].ended == inf:
                    yield base, min(each.seen for each in self._facts.sights.values() if base in each.bases)

    def _horizon(self) -> Mapping[int, float]:
        """When the first call of each version, or of a higher one, ended."""
        ends, least = {}, inf
        for version in range(self._highest, -1, -1):
            value = self._facts.holder.get(version)
            for sight in (self._facts.anonymous.get(version), self._facts.sights[value] if value else None):
                least = min(least, sight.ended if sight else inf)
            ends[version] = least
        return ends

    def fault(self) -> str | None:
        """Why there is no order; None if there is one. Raises Undecided."""
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
        """Of all that is in the way, what stands farthest on is told."""
        if version > self._deepest[0]:
            self._deepest = (version, fault)

    def _through(self, state: State | None) -> State | None:
        """Walk on over versions whose writes are known."""
        while state and (value := self._facts.holder.get(state.version + 1)):
            state = self._step(state, value)
        return state

    def _choices(self, state: State) -> list[str]:
        """Free writes for the next version, the most urgent one last."""
        left = [value for value in self._free if value not in state.used]
        unseen: dict[tuple[str | None, bool], str] = {}
        for value in left if state.version < self._highest else []:
            if value not in self._wanted:
                write = self._facts.writer[value]
                unseen.setdefault((write.expected, write.replaces), value)
        wanted = [value for value in left if value in self._wanted]
        return [*unseen.values(), *sorted(wanted, key=lambda value: -self._wanted[value])]

    def _step(self, state: State, value: str) -> State | None:
        """The state after this write; None where it cannot be the next."""
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
        """True if the state is the one that the write was to follow on, as far as that is known."""
        facts, etag = self._facts, write.expected
        if etag is None or state.value is None:
            return etag is None
        if state.value in facts.etags or etag in facts.values:
            return facts.values.get(etag) == state.value
        told = facts.anonymous.get(state.version, Sight()).etags or {etag}
        return etag in told and facts.nameless.get(etag, state.version) == state.version
