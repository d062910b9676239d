"""The writes that a failover may lose, and those that it may not.

Replication is asynchronous: the replica that takes the place of a dead primary has what that had done up to some moment
before its end. So of each key the newest writes may be gone, also acknowledged ones, and versions go on from the one
before. These are counted. Nothing else may differ: no write in the middle is gone, none that was acknowledged long
before, none comes back, none is done twice, and what is read from then on is what is left.

Judged failover by failover: the history up to it must have been possible as it is; what follows must be possible
without the fewest newest writes that explain it.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf

from tests.faults.history import History, Outcome, Read
from tests.faults.orders import Undecided
from tests.faults.versions import Chain

LAG = 1.0  # seconds: what was acknowledged earlier than this before the primary's end had reached its replica


@dataclass(slots=True)
class Account:
    """`found` and `undecided` as in versions.py; `lost`: acknowledged writes that a failover took; `left`: the history
    without what failovers took."""

    found: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left: History = field(default_factory=History)


def judge(history: History, failovers: list[float]) -> Account:
    """`failovers`: moments before which the old primary had given its last answer, and after which the new one gave its
    first."""
    account = Account()
    for key, part in history.by_key().items():
        left = part
        try:
            for moment, until in pairwise([*failovers, inf]):
                if faults := Chain(_until(left, moment)).faults():
                    break
                left, lost = _without_the_lost(left, moment, until)
                account.lost += [f"{key}: {value}" for value in lost]
            else:
                faults = Chain(left).faults()
            account.found += [f"{key}: {fault}" for fault in faults]
        except Undecided:
            account.undecided.append(key)
        account.left.writes += left.writes
        account.left.reads += left.reads
    return account


def _until(history: History, moment: float) -> History:
    """The state that was known at that moment."""
    writes = [
        write
        if write.returned < moment
        else replace(write, returned=inf, outcome=Outcome.UNKNOWN, version=None, etag=None)
        for write in history.writes
        if write.invoked < moment
    ]
    return History(writes, [read for read in history.reads if read.returned < moment])


def _without_the_lost(history: History, moment: float, until: float) -> tuple[History, list[str]]:
    """The history without the fewest newest writes that explain it, and the acknowledged ones of these; as it is when
    nothing explains it."""
    before = Chain(_until(history, moment))
    before.faults()
    gone: set[str] = set()
    for value in ["", *sorted(before.at, key=lambda value: -before.at[value])]:
        if value:
            write = before.writer[value]
            if write.outcome is Outcome.OK and write.returned < moment - LAG:
                break
            gone.add(value)
        left = _without(history, gone, before, moment)
        if not Chain(_until(left, until)).faults():
            return left, [value for value in gone if before.writer[value].outcome is Outcome.OK]
    return history, []


def _without(history: History, gone: set[str], before: Chain, moment: float) -> History:
    """Without these writes, which nobody may see any more, and without the reads that saw them in time."""
    if not gone:
        return history
    highest = min(before.at[value] for value in gone)

    def saw(read: Read) -> bool:
        """A write of unknown outcome and version counts too: it may have been lost, and may appear later."""
        unplaced = read.value is not None and read.value not in before.at
        return (
            unplaced
            or bool({before.value(read), read.replaced_by} & gone)
            or (read.version is not None and read.version >= highest)
        )

    return History(
        [replace(write, outcome=Outcome.REFUSED) if write.value in gone else write for write in history.writes],
        [read for read in history.reads if read.returned >= moment or not saw(read)],
    )
