"""Checks a history in the slow and obvious way: tries all orders of the calls of one key.

Tests compare the verdicts of `versions.py` and `orders.py` on small histories with it. It shares no code with them.
"""

from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from tests.faults.history import History, Outcome, Read, Write


class State(NamedTuple):
    """The content of a register, and the pairs of etag and value that are known so far."""

    version: int = 0
    value: str | None = None
    base: str | None = None
    etags: frozenset[tuple[str, str]] = frozenset()


@dataclass
class Trial:
    calls: list[Write | Read]
    dead: set[tuple[frozenset[int], State]] = field(default_factory=set)

    def possible(self, done: frozenset[int], state: State) -> bool:
        """Return True if the calls that are not done can follow, in some order, on this state."""
        left = [number for number in range(len(self.calls)) if number not in done]
        if all(_may_never_be(self.calls[number]) for number in left):
            return True
        if (done, state) in self.dead:
            return False
        earliest = min(_ended(self.calls[number]) for number in left)
        for number in left:
            call = self.calls[number]
            if call.invoked <= earliest:
                after = _written(call, state) if isinstance(call, Write) else _read(call, state)
                if after and self.possible(done | {number}, after):
                    return True
        self.dead.add((done, state))
        return False


def possible(history: History) -> bool:
    """Return True if there is an order of the calls, all of one key, in which each answer is right."""
    calls = [write for write in history.writes if write.outcome is not Outcome.REFUSED]
    return Trial([*calls, *history.reads]).possible(frozenset(), State(etags=_acknowledged(calls)))


def _acknowledged(writes: list[Write]) -> frozenset[tuple[str, str]]:
    return frozenset((write.etag, write.value) for write in writes if write.outcome is Outcome.OK and write.etag)


def _may_never_be(call: Write | Read) -> bool:
    return isinstance(call, Write) and call.outcome is Outcome.UNKNOWN


def _ended(call: Write | Read) -> float:
    return inf if _may_never_be(call) else call.returned


def _known(state: State, etag: str | None) -> State | None:
    """Return the state with this etag recorded for its value; None if it contradicts a recorded one."""
    if etag is None:
        return state
    assert state.value is not None
    for one, value in state.etags:
        if (one == etag) != (value == state.value):
            return None
    return state._replace(etags=state.etags | {(etag, state.value)})


def _written(write: Write, state: State) -> State | None:
    if write.expected is not None:
        if state.value is None or (known := _known(state, write.expected)) is None:
            return None
        state = known
    version, base = state.version + 1, write.value if write.replaces else state.base
    if write.outcome is Outcome.OK and write.version not in (None, version):
        return None
    return State(version, write.value, base, state.etags)


def _read(read: Read, state: State) -> State | None:
    for told, real in ((read.version, state.version), (read.value, state.value), (read.replaced_by, state.base)):
        if told is not None and told != real:
            return None
    return None if state.version == 0 and read.version != 0 else _known(state, read.etag)
