"""Checks that batches, and reads of several keys, are atomic: that all calls together have one order.

`versions.py` orders the calls of each key by themselves. A batch stands in the orders of several keys, and so does a
read of several keys; each must have one place in all of them. So the calls are the nodes of a graph, with an edge to
each call that must come later: from a write to the reads of its version and to the next known version of the key, from
a read to the next known version, and from a call that had ended to one that began then. The calls have one order
exactly if no path leads from a call to itself. Writes whose version is not known are not in the graph.

If one operation of a batch of unknown outcome was seen, then all of the batch was done by then; the check of each key
is repeated with this knowledge.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf

from tests.faults import versions
from tests.faults.history import History, Outcome, Read, Write

Name = tuple[str, str]  # kind of the call, and its own name


@dataclass(slots=True)
class Call:
    """A node of the graph: a write, a batch, or a read of one or more keys."""

    invoked: float
    returned: float


def check(history: History) -> list[str]:
    """Return everything in the history that is impossible because of batches and of reads of several keys."""
    settled = _settled(history)
    found = [f"half done: {fault}" for fault in (versions.check(settled) if settled is not history else [])]
    return found + _Graph(settled).faults()


def half_lost(history: History, left: History, failovers: list[float]) -> list[str]:
    """Return the acknowledged batches of which failovers took one operation, while another one is there after them.

    `left` is the history without what failovers took, as `losses.py` has it.
    """
    ends = {write.value: write for write in left.writes}
    taken, kept = set[str](), set[str]()
    seen = {(read.key, read.value) for read in left.reads if failovers and read.invoked > failovers[-1]}
    for write in history.writes:
        if write.batch is not None and write.outcome is Outcome.OK:
            if ends[write.value].outcome is Outcome.REFUSED:
                taken.add(write.batch)
            elif (write.key, write.value) in seen:
                kept.add(write.batch)
    return [f"half lost: a failover took a part of the batch {name}" for name in sorted(taken & kept)]


def _settled(history: History) -> History:
    """Return the history with the outcomes that follow from what was seen of batches; unchanged if there are none."""
    seen: dict[tuple[str, str | None], float] = defaultdict(lambda: inf)
    for read in history.reads:
        for value in (read.value, read.replaced_by):
            seen[read.key, value] = min(seen[read.key, value], read.returned)
    by: dict[str, float] = {}  # batch of unknown outcome -> when the first read of one of its operations ended
    for write in history.writes:
        if write.batch is not None and write.outcome is Outcome.UNKNOWN and seen[write.key, write.value] < inf:
            by[write.batch] = min(by.get(write.batch, inf), seen[write.key, write.value])
    if not by:
        return history
    writes = [
        replace(write, outcome=Outcome.OK, returned=by[write.batch]) if write.batch in by else write
        for write in history.writes
    ]
    return History(writes, history.reads)


class _Graph:
    """The graph of all calls whose versions are known."""

    def __init__(self, history: History) -> None:
        self._calls: dict[Name, Call] = {}
        self._later: defaultdict[Name, set[Name]] = defaultdict(set)
        for part in history.by_key().values():
            self._key(part)
        self._in_time()

    def faults(self) -> list[str]:
        circle = self._circle()
        return [f"not atomic: no order of {', '.join(circle)}"] if circle else []

    def _key(self, history: History) -> None:
        """Add the calls of one key, in the order of its versions."""
        at: dict[str, int] = {}
        values: dict[str, str] = {}
        for write in history.writes:
            if write.outcome is Outcome.OK and write.version is not None:
                at[write.value] = write.version
            if write.etag is not None:
                values[write.etag] = write.value
        for read in history.reads:
            if read.value is None and read.etag in values:
                read = replace(read, value=values[read.etag])
            if read.value is not None and read.version:
                at.setdefault(read.value, read.version)
        writes = {at[write.value]: self._written(write) for write in history.writes if write.value in at}
        known = sorted(writes)
        for one, other in pairwise(known):
            self._edge(writes[one], writes[other])
        for number, read in enumerate(history.reads):
            value = values.get(read.etag or "") if read.value is None else read.value
            version = read.version if read.version is not None else at.get(value or "")
            if version is None:
                continue
            name = self._seen(read, number)
            if before := bisect_right(known, version):
                self._edge(writes[known[before - 1]], name)
            if (after := bisect_left(known, version + 1)) < len(known):
                self._edge(name, writes[known[after]])

    def _written(self, write: Write) -> Name:
        name = ("write", f"{write.key}={write.value}") if write.batch is None else ("batch", write.batch)
        returned = write.returned if write.outcome is Outcome.OK else inf
        call = self._calls.setdefault(name, Call(write.invoked, returned))
        call.returned = min(call.returned, returned)
        return name

    def _seen(self, read: Read, number: int) -> Name:
        name = ("read", f"{read.key} {number}" if read.together is None else read.together)
        self._calls.setdefault(name, Call(read.invoked, read.returned))
        return name

    def _edge(self, one: Name, other: Name) -> None:
        if one != other:
            self._later[one].add(other)

    def _in_time(self) -> None:
        """Add the order of time: a chain of moments, each entered by the call that ended then."""
        ended = sorted((call.returned, name) for name, call in self._calls.items() if call.returned < inf)
        moments = [("moment", str(number)) for number in range(len(ended))]
        for (_, name), moment in zip(ended, moments, strict=True):
            self._edge(name, moment)
        for one, other in pairwise(moments):
            self._edge(one, other)
        for name, call in self._calls.items():
            if before := bisect_left(ended, (call.invoked, ("", ""))):
                self._edge(moments[before - 1], name)

    def _circle(self) -> list[str]:
        """Return the calls of a path that leads back to its beginning; none if there is none."""
        left = self._without_ends()
        if not left:
            return []
        earlier = {other: one for one in left for other in self._later[one] if other in left}
        name, passed = next(iter(earlier)), list[Name]()
        while name not in passed:
            passed.append(name)
            name = earlier[name]
        return [f"{kind} {own}" for kind, own in self._shown(passed[passed.index(name) :])]

    def _shown(self, circle: list[Name]) -> Iterator[Name]:
        return (each for each in reversed(circle) if each[0] != "moment")

    def _without_ends(self) -> set[Name]:
        """Return the nodes without those that nothing leads to, again and again: they can come first."""
        entered: defaultdict[Name, int] = defaultdict(int)
        for others in self._later.values():
            for other in others:
                entered[other] += 1
        nodes = self._later.keys() | entered.keys()
        free = [name for name in nodes if not entered[name]]
        left = set(nodes)
        while free:
            name = free.pop()
            left.remove(name)
            for other in self._later.get(name, ()):
                entered[other] -= 1
                if not entered[other]:
                    free.append(other)
        return left
