"""Tests the checkers of histories: they find every flaw, and nothing in a history without one."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis.strategies import integers, randoms

from tests.faults import linearizability, losses, orders, versions
from tests.faults.exhaustive import possible
from tests.faults.history import History, Outcome, Read, Write
from tests.faults.mutations import MUTATIONS
from tests.faults.simulated import FLAWS, history
from tests.lengths import examples

HISTORIES = 500
OK, REFUSED, UNKNOWN = Outcome.OK, Outcome.REFUSED, Outcome.UNKNOWN

Check = Callable[[History], list[str]]
each_checker = pytest.mark.parametrize(
    "check", [versions.check, linearizability.check], ids=["versions", "linearizability"]
)


def write(value: str, begun: float, ended: float, version: int | None = None, outcome: Outcome = OK) -> Write:
    return Write("k", value, begun, returned=ended, outcome=outcome, version=version)


def read(value: str | None, begun: float, ended: float, version: int | None = None) -> Read:
    return Read("k", begun, ended, value, version=version)


SOUND = {
    "nothing": History([], [read(None, 0, 1, 0)]),
    "one after the other": History([write("a", 0, 1, 1), write("b", 2, 3, 2)], [read("b", 4, 5, 2)]),
    "at once, the later first": History([write("a", 0, 9, 2), write("b", 0, 9, 1)], [read("a", 10, 11, 2)]),
    "unknown and done": History([write("a", 0, 1, 1), write("b", 2, 3, None, UNKNOWN)], [read("b", 9, 10, 2)]),
    "unknown and done late": History(
        [write("b", 0, 1, None, UNKNOWN), write("a", 2, 3, 1)], [read("a", 4, 5, 1), read("b", 6, 7, 2)]
    ),
    "unknown and not done": History([write("a", 0, 1, 1), write("b", 2, 3, None, UNKNOWN)], [read("a", 9, 10, 1)]),
    "unknown, unseen, in between": History(
        [write("a", 0, 1, 1), write("b", 2, 3, None, UNKNOWN), write("c", 2, 3, 3)], [read("c", 9, 10, 3)]
    ),
    "refused": History([write("a", 0, 1, 1), write("b", 2, 3, None, REFUSED)], [read("a", 9, 10, 1)]),
    "seen before its end": History([write("a", 0, 9, 1)], [read(None, 0, 1, 0), read("a", 2, 3, 1)]),
}

FAULTY: dict[str, tuple[str, History]] = {
    "a lost write, seen by its number": ("lost", History([write("a", 0, 1, 1), write("b", 2, 3, 1)], [])),
    "a lost write, seen at the end": (
        "stale",
        History([write("a", 0, 1, 1), write("b", 2, 3, 2)], [read("a", 9, 10, 1)]),
    ),
    "a doubled write, seen by its number": (
        "doubled",
        History([write("a", 0, 1, 1), write("b", 2, 3, 2)], [read("a", 4, 5, 3)]),
    ),
    "a doubled write, unseen": ("doubled", History([write("a", 0, 1, 1), write("b", 2, 3, 3)], [read("b", 4, 5, 3)])),
    "a doubled write that no late one explains": (
        "doubled",
        History([write("a", 0, 1, 1), write("b", 2, 3, 3), write("c", 4, 5, None, UNKNOWN)], []),
    ),
    "a stale read": (
        "stale",
        History([write("a", 0, 1, 1), write("b", 2, 3, 2)], [read("a", 4, 5, 1), read("b", 6, 7, 2)]),
    ),
    "a read that goes back": (
        "stale",
        History([write("a", 0, 9, 1), write("b", 0, 9, 2)], [read("b", 1, 2, 2), read("a", 3, 4, 1)]),
    ),
    "nothing after something": ("stale", History([write("a", 0, 1, 1)], [read(None, 2, 3, 0)])),
    "a reordered pair of writes": ("reordered", History([write("a", 0, 1, 2), write("b", 2, 3, 1)], [])),
    "a refused write that was done": (
        "half refused",
        History([write("a", 0, 1, None, REFUSED)], [read("a", 2, 3, 1)]),
    ),
    "a value from nowhere": ("made up", History([], [read("a", 2, 3, 1)])),
    "a value from the future": ("reordered", History([write("a", 4, 5, 1)], [read("a", 2, 3, 1)])),
    "an unknown write that has no version left": (
        "lost",
        History(
            [write("a", 0, 1, 1), write("u", 2, 3, None, UNKNOWN), write("b", 6, 7, 2)],
            [read("u", 4, 5), read("b", 8, 9, 2)],
        ),
    ),
}


@each_checker
@pytest.mark.parametrize("name", SOUND)
def test_no_fault_is_found_in_a_correct_history(name: str, check: Check) -> None:
    assert check(SOUND[name]) == []


@pytest.mark.parametrize("name", FAULTY)
def test_each_fault_is_found_and_named(name: str) -> None:
    kind, made = FAULTY[name]
    assert any(f": {kind}: " in fault for fault in versions.check(made)), versions.check(made)


@pytest.mark.parametrize(
    "name",
    [
        "a lost write, seen at the end",
        "a stale read",
        "nothing after something",
        "a refused write that was done",
        "a value from nowhere",
        "a value from the future",
    ],
)
def test_faults_that_need_no_version_are_found_without_versions(name: str) -> None:
    assert linearizability.check(FAULTY[name][1])


def test_a_write_that_broke_its_condition_is_found() -> None:
    writes = [write("a", 0, 1, 1), write("b", 2, 3, 2), write("c", 4, 5, 3)]
    writes[0].etag = "ea"
    writes[2].expected = "ea"
    assert any("condition broken" in fault for fault in versions.check(History(writes, [])))
    writes[2].expected = "eb"
    writes[1].etag = "eb"
    assert versions.check(History(writes, [])) == []


def test_a_patch_that_lost_an_unnamed_member_is_found() -> None:
    patch = Write("k", "p", 4, replaces=False, returned=5, outcome=OK, version=3)
    seen = Read("k", 6, 7, "p", replaced_by="a", version=3)
    writes = [write("a", 0, 1, 1), write("b", 2, 3, 2), patch]
    assert any("torn" in fault for fault in versions.check(History(writes, [seen])))
    assert any("stale" in fault or "lost" in fault for fault in linearizability.check(History(writes, [seen])))
    seen.replaced_by = "b"
    assert versions.check(History(writes, [seen])) == linearizability.check(History(writes, [seen])) == []


def test_the_order_of_writes_with_unknown_outcome_is_not_guessed() -> None:
    """Two writes of unknown outcome made versions 2 and 3. A read saw version 3, and a conditional write follows it."""
    early, late = write("x", 2, 9, None, UNKNOWN), write("y", 2, 3, None, UNKNOWN)
    after = write("c", 6, 7, 4)
    after.expected = "ey"
    seen = Read("k", 4, 5, "y", etag="ey")
    made = History([write("a", 0, 1, 1), early, late, after], [seen])
    assert versions.check(made) == linearizability.check(made) == []
    after.version = 3  # then x took effect later or never
    assert versions.check(made) == []
    after.version = 5  # no write made version 4
    assert "doubled" in versions.check(made)[0]
    after.version, early.outcome, early.version = 4, OK, 3
    assert "condition broken" in versions.check(made)[0]


def test_a_search_that_exceeds_its_limit_gives_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "STATES", 0)
    assert versions.judge(History([], [read("a", 0, 1, 1)])).found
    made = History([write("a", 0, 1, None, UNKNOWN), write("b", 2, 3, 2), write("c", 4, 5, 4)], [])
    assert versions.judge(made) == ([], ["k"])


@each_checker
def test_no_fault_is_found_in_simulated_histories(check: Check) -> None:
    for seed in range(HISTORIES):
        made, _ = history(Random(seed), clients=1 + seed % 6)
        assert check(made) == [], f"seed {seed}"


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_fault_in_a_simulated_history_is_always_found(flaw: str) -> None:
    """The last read comes after everything, so clients can notice each flaw."""
    flawed = 0
    for seed in range(HISTORIES):
        made, got_in = history(Random(seed), clients=1 + seed % 6, flaw=flaw)
        if got_in:
            flawed += 1
            assert versions.check(made), f"seed {seed}"
    assert flawed > HISTORIES / 2


@examples(100, 500)
@given(random=randoms(use_true_random=False), clients=integers(1, 4), calls=integers(1, 4), changes=integers(0, 2))
def test_the_verdict_is_that_of_trying_all_orders(random: Random, clients: int, calls: int, changes: int) -> None:
    """The histories have writes of unknown outcome, and mutations make most of them impossible."""
    made, _ = history(random, clients=clients, calls=calls)
    for _ in range(changes):
        random.choice(MUTATIONS)(made, random)
    can_have_been = possible(made)
    assert (versions.check(made) == []) == can_have_been
    assert not (can_have_been and linearizability.check(made))


def newest(*reads: Read, ended: float = 7) -> History:
    """Return a history of three writes before a failover at 8, the last of them acknowledged at `ended`, and reads."""
    return History([write("a", 0, 1, 1), write("b", 2, 3, 2), write("c", 6, ended, 3)], [read("c", 7, 7.5, 3), *reads])


def test_writes_that_a_failover_lost_are_counted() -> None:
    made = newest(read("b", 9, 10, 2))
    made.writes.append(write("d", 11, 12, 3))
    account = losses.judge(made, [8])
    assert (account.found, account.lost) == ([], ["k: c"])
    assert versions.check(account.left) == linearizability.check(account.left) == []
    assert versions.check(made)
    assert linearizability.check(made)
    assert losses.judge(newest(read("c", 9, 10, 3)), [8]).lost == []


@pytest.mark.parametrize(
    "made",
    [
        newest(read("a", 9, 10, 1)),  # b, acknowledged long before, is lost
        newest(read("b", 9, 10, 2), ended=6.5),  # c, acknowledged long before, is lost
        newest(read("b", 9, 10, 2), read("c", 11, 12, 3)),  # a lost write comes back
        newest(read("c", 9, 10, 3), read("b", 11, 12, 2)),  # nothing was lost, and the second read is stale
        newest(read("c", 9, 10, 4)),  # c has taken effect twice
        newest(Read("k", 9, 10, "b", replaced_by="c", version=2)),  # a part of c is left
    ],
)
def test_a_failover_that_does_more_than_lose_the_newest_writes_is_found(made: History) -> None:
    assert losses.judge(made, [8]).found


def test_a_fault_before_a_failover_is_found_even_if_the_failover_lost_it() -> None:
    made = newest(read("b", 9, 10, 2))
    made.reads.append(read("b", 7.2, 7.6, 2))
    assert losses.judge(made, [8]).found
