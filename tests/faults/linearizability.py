"""Checks that a history is that of one register for each key, without versions.

Each value is written once, so the calls of a value form a cluster: the write, and the reads that saw it. If a call of
the cluster ended before another one began, the register had this value in between, and the cluster is a *forward zone*.
Otherwise all of its calls overlap, and it is a *backward zone*. An order of the calls is possible exactly if no two
forward zones overlap and no backward zone is inside of a forward one (Gibbons and Korach, Testing Shared Memories, SIAM
J. Comput. 26(4), 1997).

A record that does not exist yet counts as a value that was written before all others.
"""

from bisect import bisect_left
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from math import inf
from typing import NamedTuple

from tests.faults.history import History, Outcome

NOTHING = ""  # the value of a record that does not exist


class Zone(NamedTuple):
    low: float
    high: float
    value: str


def check(history: History) -> list[str]:
    """Return everything that is impossible in a history, in which keys are never deleted."""
    return [
        f"{key}: {fault}"
        for key, part in history.by_key().items()
        for fault in [*_faults(part), *_faults(_whole(part))]
    ]


def _whole(history: History) -> History:
    """Return the history of the members that only writes of the whole record change."""
    return History(
        [write for write in history.writes if write.replaces],
        [replace(read, value=read.replaced_by) for read in history.reads if read.replaced_by or read.version == 0],
    )


def _faults(history: History) -> list[str]:
    writers = {write.value: write for write in history.writes}
    calls: dict[str, list[tuple[float, float]]] = defaultdict(list)
    calls[NOTHING] = [(-inf, -inf)]
    for write in history.writes:
        if write.outcome is Outcome.OK:
            calls[write.value].append((write.invoked, write.returned))
    found = []
    for read in history.reads:
        value = NOTHING if read.version == 0 else read.value
        if value is None:
            continue
        if value != NOTHING:
            writer = writers.get(value)
            if writer is None:
                found.append(f"made up: {value} was read and never written")
                continue
            if writer.outcome is Outcome.REFUSED:
                found.append(f"half refused: {value} was refused and is read")
                continue
            if read.returned < writer.invoked:
                found.append(f"foreseen: {value} was read before it was written")
            if not calls[value]:  # the outcome is unknown, but a read saw it
                calls[value].append((writer.invoked, inf))
        calls[value].append((read.invoked, read.returned))
    return found + _overlapping([Zone(*_ends(spans), value) for value, spans in calls.items() if spans])


def _ends(spans: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the end of the call that ended first, and the beginning of the one that began last."""
    return min(end for _, end in spans), max(begin for begin, _ in spans)


def _overlapping(zones: list[Zone]) -> list[str]:
    forward = sorted(zone for zone in zones if zone.low < zone.high)
    found = []
    for one, other in pairwise(forward):
        if other.low < one.high:
            found.append(f"stale: {other.value or 'nothing'} was there, and {one.value or 'nothing'} before and after")
    starts = [zone.low for zone in forward]
    for zone in zones:
        before = bisect_left(starts, zone.high) - 1  # the last forward zone that began before this zone did
        if zone.low >= zone.high and before >= 0 and zone.low < forward[before].high:
            found.append(f"lost: {zone.value} was written while {forward[before].value or 'nothing'} stayed there")
    return found
