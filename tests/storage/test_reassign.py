"""Tests reassign: restores a variable from an export, with its id and times."""

import pytest

from service.storage import keys
from service.storage.errors import Changed
from service.storage.fsck.variables import Audit
from service.storage.outcomes import Outcome
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from service.storage.variables.transfer import VariableTransfer, state
from service.storage.variables.variables import Filter, Variable
from tests.storage.keyspace import Keyspace

PLACE = keys.collection("avaamo", "agents", "8017", "")


def variable(id: int = 7, value: str = "1.50", key: str = "k", updated: int = 2_000_000) -> Variable:
    return Variable(id, 5, key, value, 1_000_000, updated)


@pytest.fixture
def transfer(runner: Runner) -> VariableTransfer:
    return VariableTransfer(runner)


async def restore(transfer: VariableTransfer, *wanted: Variable, replace: bool = False) -> list[Outcome]:
    return await transfer.restore_many([(PLACE, one) for one in wanted], replace=replace)


async def faults(runner: Runner) -> list[str]:
    found: list[str] = []
    await Audit(runner, PLACE, found.append, repair=False).run()
    return found


async def test_restored_variables_are_unchanged_and_in_all_lists(
    runner: Runner, transfer: VariableTransfer, storage: Storage
) -> None:
    wanted = [variable(id, f"v{id % 3}", f"k{id}", 2_000_000 + id % 7) for id in range(1, 200)]
    assert await restore(transfer, *wanted) == [Outcome.STORED] * len(wanted)
    total, newest = await storage.variables.select(PLACE, "", Filter(), 0, 100)
    assert total == len(wanted)
    assert newest == sorted(wanted, key=lambda one: (one.updated, one.id), reverse=True)[:100]
    assert (await storage.variables.select(PLACE, "", Filter(value="v1"), 0, 1))[0] == 67
    assert await faults(runner) == []
    assert sorted([one async for some in transfer.walk(PLACE) for one in some], key=lambda one: one.id) == wanted


async def test_a_second_restore_changes_nothing(transfer: VariableTransfer) -> None:
    await restore(transfer, variable())
    for replace in (False, True):
        assert await restore(transfer, variable(), replace=replace) == [Outcome.PRESENT]


async def test_another_existing_variable_stays_or_is_replaced(
    runner: Runner, transfer: VariableTransfer, storage: Storage
) -> None:
    await storage.variables.assign(Write(PLACE), 5, "k", "other")
    assert await restore(transfer, variable(id=7_000_000)) == [Outcome.DIFFERENT]
    assert await restore(transfer, variable(id=7_000_000), replace=True) == [Outcome.STORED]
    assert await storage.variables.recall(PLACE, "", 5, "k") == variable(id=7_000_000)
    assert await faults(runner) == []


async def test_an_id_of_another_variable_is_not_used(
    runner: Runner, transfer: VariableTransfer, storage: Storage
) -> None:
    taken = await storage.variables.assign(Write(PLACE), 5, "first", "1")
    assert await restore(transfer, variable(taken)) == [Outcome.STORED]
    found = await storage.variables.recall(PLACE, "", 5, "k")
    assert found is not None
    assert found.id != taken
    assert state(found) == state(variable())
    assert await faults(runner) == []


async def test_an_id_of_another_agent_is_kept_and_does_no_harm(
    runner: Runner, transfer: VariableTransfer, storage: Storage
) -> None:
    """Each agent reads, sets again and removes its own variable, whatever the id of the other one."""
    other = keys.collection("avaamo", "agents", "8018", "")
    taken = await storage.variables.assign(Write(other), 5, "k", "theirs")
    assert await restore(transfer, variable(taken)) == [Outcome.STORED]
    assert await storage.variables.recall(PLACE, "", 5, "k") == variable(taken)
    assert await storage.variables.assign(Write(PLACE), 5, "k", "ours") == taken
    found = await storage.variables.recall(other, "", 5, "k")
    assert found is not None
    assert (found.id, found.value) == (taken, "theirs")
    for place in (PLACE, other):
        assert (await storage.variables.select(place, "", Filter(), 0, 1))[0] == 1
    await storage.variables.drop(Write(PLACE), 5, "k")
    assert await storage.variables.recall(PLACE, "", 5, "k") is None
    assert await storage.variables.recall(other, "", 5, "k") == found
    assert await faults(runner) == []


async def test_new_variables_get_unused_ids(runner: Runner, transfer: VariableTransfer, storage: Storage) -> None:
    """Ids that a worker had reserved before an import brought them are not assigned either."""
    first = await storage.variables.assign(Write(PLACE), 5, "first", "1")
    await restore(transfer, variable(first + 1, key="a"), variable(first + 2, key="b"), variable(10**9, key="c"))
    assert await storage.variables.assign(Write(PLACE), 5, "second", "1") == first + 3
    assert await faults(runner) == []
    assert await Storage(runner).variables.assign(Write(PLACE), 5, "third", "1") > 10**9


async def test_a_variable_that_changed_since_the_read_is_refused(transfer: VariableTransfer, storage: Storage) -> None:
    await storage.variables.assign(Write(PLACE), 5, "k", "other")
    with pytest.raises(Changed):
        await transfer.reassign(PLACE, variable(), 7_000_000, b"")


async def test_only_the_expected_keys_remain(transfer: VariableTransfer, keyspace: Keyspace) -> None:
    await restore(transfer, variable())
    own = {keys.variables(PLACE), keys.names(PLACE), keys.newest(PLACE), keys.lists(PLACE)}
    assert keyspace.names() == own | {keys.variable("avaamo")}
