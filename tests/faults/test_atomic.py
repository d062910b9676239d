"""Tests the check of batches: it finds each batch that is carried out in part, and nothing else."""

from collections.abc import Callable, Iterable
from itertools import groupby
from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis.strategies import integers, randoms

from tests.faults import atomic, linearizability, losses, versions
from tests.faults.history import History, Outcome, Read, Write
from tests.lengths import examples

OK, REFUSED, UNKNOWN = Outcome.OK, Outcome.REFUSED, Outcome.UNKNOWN
KEYS = ("a", "b", "c")
HISTORIES = 300

Operation = Write | Read
Call = list[Operation]  # the operations of a batch, or of a read of several keys
State = dict[str, tuple[int, str | None]]  # key -> version and value


def batch(name: str, begun: float, ended: float, at: dict[str, int] | None, outcome: Outcome = OK) -> list[Write]:
    """A batch that writes `a` and `b`, and the versions that it was answered."""
    return [
        Write(key, f"{name}.{key}", begun, returned=ended, outcome=outcome, version=(at or {}).get(key), batch=name)
        for key in "ab"
    ]


def read(key: str, value: str | None, begun: float, ended: float, together: str | None = None) -> Read:
    return Read(key, begun, ended, value, version=None if value else 0, together=together)


def found(history: History) -> list[str]:
    return versions.check(history) + atomic.check(history) + linearizability.check(history)


FIRST = batch("x", 0, 1, {"a": 1, "b": 1})
SOUND = {
    "whole": History([*FIRST, *batch("y", 2, 5, {"a": 2, "b": 2})], [read("a", "x.a", 3, 4), read("b", "y.b", 6, 7)]),
    "unknown and done": History([*FIRST, *batch("y", 2, 3, None, UNKNOWN)], [read("a", "y.a", 3, 4)]),
    "unknown and not done": History([*FIRST, *batch("y", 2, 3, None, UNKNOWN)], [read("a", "x.a", 3, 4)]),
    "unknown and done late": History(
        [*FIRST, *batch("y", 2, 3, None, UNKNOWN)], [read("a", "x.a", 3, 4), read("b", "y.b", 5, 6)]
    ),
}
FAULTY = {
    "half done and acknowledged": History(
        [*FIRST, *batch("y", 2, 3, {"a": 2, "b": 2})], [read("a", "y.a", 4, 5), read("b", "x.b", 4, 5)]
    ),
    "half done, and nobody knew": History(
        [*FIRST, *batch("y", 2, 3, None, UNKNOWN)], [read("a", "y.a", 4, 5), read("b", "x.b", 6, 7)]
    ),
    "half refused": History([*FIRST, *batch("y", 2, 3, None, REFUSED)], [read("b", "y.b", 4, 5)]),
    "half seen by one read": History(
        [*FIRST, *batch("y", 2, 9, {"a": 2, "b": 2})], [read("a", "y.a", 3, 4, "r"), read("b", "x.b", 3, 4, "r")]
    ),
    "half seen by two reads": History(
        [*FIRST, *batch("y", 2, 9, {"a": 2, "b": 2})], [read("a", "y.a", 3, 4), read("b", "x.b", 5, 6)]
    ),
    "two batches in two orders": History(
        [*FIRST, *batch("y", 2, 9, {"a": 2, "b": 3}), *batch("z", 2, 9, {"a": 3, "b": 2})], []
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_no_fault_is_found_if_batches_are_atomic(name: str) -> None:
    assert found(SOUND[name]) == []


@pytest.mark.parametrize("name", FAULTY)
def test_each_batch_that_is_written_or_read_in_part_is_found(name: str) -> None:
    assert found(FAULTY[name])


@pytest.mark.parametrize("name", ["half seen by one read", "half seen by two reads", "two batches in two orders"])
def test_a_partial_batch_that_no_single_key_shows_is_found_by_the_order_of_all(name: str) -> None:
    assert versions.check(FAULTY[name]) == linearizability.check(FAULTY[name]) == []
    assert "not atomic" in atomic.check(FAULTY[name])[0]


def test_a_batch_that_a_failover_loses_in_part_is_found() -> None:
    writes = [*FIRST, *batch("y", 6, 7.5, {"a": 2, "b": 2})]
    for kept in ("x", "y"):
        history = History(writes, [read("a", "x.a", 9, 10), read("b", f"{kept}.b", 9, 10)])
        account = losses.judge(history, [8])
        assert account.found == []
        assert bool(atomic.half_lost(history, account.left, [8])) == (kept == "y")
        assert atomic.check(account.left) == []


class Store:
    """A store of three keys, whose calls take effect at moments of their own. `flaw` is how it breaks batches."""

    def __init__(self, random: Random, flaw: str = "") -> None:
        self._random, self._flaw = random, flaw
        self._state: State = dict.fromkeys(KEYS, (0, None))
        self.made = History()
        self.flawed = False

    def calls(self, clients: int, calls: int, unknown: float) -> None:
        """Carry out random calls in the order of their moments, and in the end read all keys."""
        moments = []
        for _ in range(clients):
            now = self._random.random()
            for _ in range(calls):
                begun = now + self._random.random()
                now = begun + 0.01 + 3 * self._random.random() ** 2
                moments.append((self._random.uniform(begun, now), begun, now))
        for number, (_, begun, ended) in enumerate(sorted(moments)):
            if self._random.random() < 0.5:
                self._read(str(number), begun, ended)
            else:
                self._write(f"v{number}", begun, ended, unknown)
        end = max(ended for _, _, ended in moments) + 1
        self._read("last", end, end + 1, KEYS)

    def _read(self, name: str, begun: float, ended: float, keys: Iterable[str] = ()) -> None:
        for key in keys or self._random.sample(KEYS, self._random.randint(1, 3)):
            version, value = self._state[key]
            self.made.reads.append(Read(key, begun, ended, value, version=version, together=name))

    def _write(self, name: str, begun: float, ended: float, unknown: float) -> None:
        keys = self._random.sample(KEYS, self._random.randint(1, 3))
        outcome = UNKNOWN if self._random.random() < unknown else OK
        writes = [Write(key, f"{name}.{key}", begun, returned=ended, outcome=outcome, batch=name) for key in keys]
        self.made.writes += writes
        if outcome is UNKNOWN and self._random.random() < 0.5:
            return
        broken = self._flaw if len(keys) > 1 and not self.flawed else ""
        self.flawed |= bool(broken)
        for number, write in enumerate(writes):
            version = self._state[write.key][0] + 1
            write.version = version if outcome is OK else None
            if broken == "seen in part" and number == 1:
                self._read(f"in {name}", begun, ended, KEYS)
            if broken != "done in part" or number == 0:
                self._state[write.key] = (version, write.value)


def made(seed: int, flaw: str, unknown: float = 0.2) -> Store:
    store = Store(Random(seed), flaw)
    store.calls(1 + seed % 5, 8, unknown)
    return store


def test_no_fault_is_found_in_many_histories_of_a_store_with_atomic_batches() -> None:
    for seed in range(HISTORIES):
        assert found(made(seed, "").made) == [], f"seed {seed}"


def test_a_store_that_carries_out_batches_in_part_is_found_each_time() -> None:
    """A store that carries out the first operation only, and acknowledges all of them."""
    flawed = [store for seed in range(HISTORIES) if (store := made(seed, "done in part", 0.0)).flawed]
    assert len(flawed) > HISTORIES / 2
    assert all(found(store.made) for store in flawed)


def test_a_store_that_shows_partial_batches_is_found_each_time_and_by_no_single_key() -> None:
    """A store that carries out the first operation, lets a reader read all keys, and then carries out the others."""
    flawed = [store for seed in range(HISTORIES) if (store := made(seed, "seen in part", 0.0)).flawed]
    assert len(flawed) > HISTORIES / 2
    assert all(atomic.check(store.made) for store in flawed)
    assert not any(versions.check(store.made) for store in flawed)


def possible(history: History) -> bool:
    """True if there is an order of all calls in which each may answer as it did: all orders are tried."""

    def name(one: Operation) -> str:
        return f"w{one.batch}" if isinstance(one, Write) else f"r{one.together}"

    operations: list[Operation] = [*history.writes, *history.reads]
    calls: list[Call] = [list(group) for _, group in groupby(sorted(operations, key=name), name)]

    def ended(call: Call) -> float:
        return inf if optional(call) else call[0].returned

    def optional(call: Call) -> bool:
        return isinstance(call[0], Write) and call[0].outcome is UNKNOWN

    def after(call: Call, state: State) -> State | None:
        state = dict(state)
        for one in call:
            version, value = state[one.key]
            if isinstance(one, Write):
                version, value = state[one.key] = (version + 1, one.value)
            if one.version not in (None, version) or one.value != value:
                return None
        return state

    def goes_on(done: frozenset[int], state: State) -> bool:
        left = [number for number in range(len(calls)) if number not in done]
        if all(optional(calls[number]) for number in left):
            return True
        earliest = min(ended(calls[number]) for number in left)
        first = [number for number in left if calls[number][0].invoked <= earliest]
        states = [(number, after(calls[number], state)) for number in first]
        return any(goes_on(done | {number}, then) for number, then in states if then is not None)

    return goes_on(frozenset(), dict.fromkeys(KEYS, (0, None)))


def moved(history: History, random: Random) -> None:
    """Let a call have been made at another time."""
    operations: list[Operation] = [*history.writes, *history.reads]
    one = random.choice(operations)
    times, away = (one.invoked, one.returned), random.uniform(-5, 5)
    for other in operations:
        if (other.invoked, other.returned) == times:
            other.invoked, other.returned = other.invoked + away, other.returned + away


def exchanged(history: History, random: Random) -> None:
    """Let two reads of a key have got each other's answer."""
    one, other = random.choice(history.reads), random.choice(history.reads)
    if one.key == other.key:
        one.value, one.version, other.value, other.version = other.value, other.version, one.value, one.version


CHANGES: tuple[Callable[[History, Random], None], ...] = (moved, exchanged)


@examples(150, 1000)
@given(random=randoms(use_true_random=False), clients=integers(1, 3), calls=integers(1, 3), changes=integers(0, 2))
def test_the_verdict_on_batches_is_that_of_trying_all_orders(
    random: Random, clients: int, calls: int, changes: int
) -> None:
    """All versions are known here, so nothing is overlooked either."""
    store = Store(random)
    store.calls(clients, calls, 0.0)
    for _ in range(changes):
        random.choice(CHANGES)(store.made, random)
    said = versions.check(store.made) + atomic.check(store.made)
    assert (said == []) == possible(store.made)


@examples(100, 1000)
@given(random=randoms(use_true_random=False), clients=integers(1, 3), calls=integers(1, 3), changes=integers(0, 2))
def test_unknown_outcomes_cause_no_false_alarm(random: Random, clients: int, calls: int, changes: int) -> None:
    store = Store(random)
    store.calls(clients, calls, 0.4)
    for _ in range(changes):
        random.choice(CHANGES)(store.made, random)
    assert not (possible(store.made) and found(store.made))
