"""Checks a history with failovers: finds the writes that a failover has lost, and everything that is impossible.

Replication is asynchronous: a replica that takes over has the writes of the dead primary up to some moment before its
end. So the newest writes of each key may be lost, also acknowledged ones, and versions continue after the last one that
is left. Lost writes are counted. Nothing else may happen: a failover does not lose a write and keep a later one, does
not lose a write that was acknowledged more than LAG before, a lost write does not come back, and no write takes effect
twice. All later reads see what is left.

The failovers are checked in order. The history before a failover must be possible as it is. The rest must be possible
without the newest writes; as few of them as possible count as lost.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf

from tests.faults.history import History, Outcome, Read
from tests.faults.orders import Undecided
from tests.faults.versions import Chain

LAG = 1.0  # seconds: writes acknowledged earlier than this before the primary's end have reached its replica


@dataclass(slots=True)
class Account:
    """The result of a check. `found` and `undecided` are as in versions.py.

    `lost`: acknowledged writes that failovers have lost. `left`: the history without the lost writes.
    """

    found: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left: History = field(default_factory=History)


def judge(history: History, failovers: list[float]) -> Account:
    """Check a history. `failovers`: a moment between the old primary's last reply and the new one's first, for each."""
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
    """Return the history as it was known at a moment: later answers are unknown."""
    writes = [
        write
        if write.returned < moment
        else replace(write, returned=inf, outcome=Outcome.UNKNOWN, version=None, etag=None)
        for write in history.writes
        if write.invoked < moment
    ]
    return History(writes, [read for read in history.reads if read.returned < moment])


def _without_the_lost(history: History, moment: float, until: float) -> tuple[History, list[str]]:
    """Remove as few of the newest writes as make the history possible; return it and the acknowledged ones of them.

    If that is not possible, return the history unchanged.
    """
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
    """Return the history with these writes refused, and without the reads that saw them before the failover."""
    if not gone:
        return history
    highest = min(before.at[value] for value in gone)

    def saw(read: Read) -> bool:
        """Return True if a read may have seen a removed write; a write without a known version may be a lost one."""
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
