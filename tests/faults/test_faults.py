"""Tests in short trials that no acknowledged write is lost or repeated. `make faults` runs long ones."""

import pytest

from tests.faults.cluster import clustered
from tests.faults.faults import FAULTS, names
from tests.faults.history import Outcome
from tests.faults.register import registers
from tests.faults.stand import standing
from tests.faults.trial import Plan, trial
from tests.lengths import either

ACKNOWLEDGED = 50  # writes: with fewer of them, a trial shows nothing
INJECTIONS = either(3, 6)
KILLS = ("kill_redis", "kill_worker")


@pytest.mark.long
@pytest.mark.parametrize("dialect", registers())
async def test_no_fault_loses_repeats_or_reorders_a_write(dialect: str) -> None:
    async with standing() as stand:
        verdict = await trial(
            stand,
            registers()[dialect],
            Plan(
                seed=11,
                seconds=either(3, 6),
                faults=names("single"),
                acknowledged=ACKNOWLEDGED,
                injections=INJECTIONS,
                pause=either(0.5, 1.5),
            ),
        )
    print(verdict)
    assert verdict.found == []
    assert verdict.injected.total() >= INJECTIONS
    assert verdict.history.count(Outcome.OK) >= ACKNOWLEDGED


@pytest.mark.long
@pytest.mark.parametrize(("appendfsync", "slow_disk"), [("everysec", True), ("always", False)])
async def test_kill_9_of_redis_and_of_workers_loses_no_acknowledged_write(appendfsync: str, slow_disk: bool) -> None:
    async with standing(appendfsync=appendfsync, slow_disk=slow_disk) as stand:
        verdict = await trial(stand, registers()["ainoflow"], Plan(seed=12, seconds=either(2, 3), faults=KILLS))
    assert verdict.found == []
    assert set(verdict.injected) == set(KILLS)


async def test_a_full_disk_stops_redis_or_its_writes_and_loses_no_acknowledged_write() -> None:
    for appendfsync in ("everysec", "always"):
        async with standing(appendfsync=appendfsync) as stand:
            verdict = await trial(stand, registers()["ainoflow"], Plan(seed=13, seconds=2, faults=("fill_disk",)))
        assert verdict.found == []
        assert verdict.injected["fill_disk"] > 0


@pytest.mark.long
async def test_a_cluster_loses_repeats_and_reorders_nothing_except_the_losses_of_a_failover() -> None:
    """A reshard loses no write. A failover may lose the newest writes, and these are counted."""
    async with clustered() as stand:
        verdict = await trial(
            stand,
            registers()["ainoflow"],
            Plan(seed=14, seconds=either(3, 5), faults=names("cluster"), acknowledged=ACKNOWLEDGED),
        )
    print(verdict)
    assert verdict.found == []
    assert verdict.history.count(Outcome.OK) >= ACKNOWLEDGED
    assert verdict.lost == [] or verdict.injected["fail_over"] > 0


def test_each_fault_has_a_unique_name() -> None:
    for topology, groups in FAULTS.items():
        assert len(set(names(topology))) == sum(len(group) for group in groups.values())
