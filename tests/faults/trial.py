"""One trial: clients call while faults are injected. Then all keys are read once more, and the history is judged."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from time import monotonic

from tests.faults import atomic, linearizability, losses
from tests.faults.clients import Client
from tests.faults.faults import FAULTS, Fault, counts_of
from tests.faults.history import History, Outcome
from tests.faults.register import Register
from tests.faults.stand import Service
from tests.raw_http import connected
from tests.running import soon


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a trial. It ends after `operations` calls, or after `seconds`, whichever comes first.

    On a slow machine it takes longer than `seconds`: until there were so many `acknowledged` writes and `injections` of
    faults. `pause`: longest time between two faults of a group, in seconds. `writes`: their share of the calls.
    """

    seed: int
    seconds: float
    faults: tuple[str, ...]
    operations: int | None = None
    clients: int = 16
    keys: int = 24
    pause: float = 0.8
    writes: float = 0.6
    acknowledged: int = 0
    injections: int = 0


@dataclass(slots=True)
class Verdict:
    """The result of a trial.

    `found` has everything that is impossible, `undecided` the keys whose check took too long, and `lost` the
    acknowledged writes that failovers of a cluster have lost.
    """

    history: History
    injected: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    back: float = 0.0  # seconds from the end of the last fault until all keys could be read

    def __str__(self) -> str:
        writes = {outcome.value: self.history.count(outcome) for outcome in Outcome}
        said = ", ".join(f"{number} {name}" for name, number in writes.items())
        return (
            f"{len(self.history.writes) + len(self.history.reads)} calls: writes {said}; "
            f"{len(self.history.reads)} reads; faults: {counts_of(self.injected)}; "
            f"back after {self.back:.2f} s; {len(self.found)} violations"
            + (f", {len(self.lost)} lost at failovers" if self.injected["fail_over"] else "")
            + (f", {len(self.undecided)} keys undecided" if self.undecided else "")
        )


async def trial(stand: Service, register: Register, plan: Plan) -> Verdict:
    """Run the trial that the plan describes."""
    verdict = Verdict(History())
    names = [f"s{plan.seed}k{number}" for number in range(plan.keys)]
    end = monotonic() + plan.seconds

    def over() -> bool:
        history = verdict.history
        if plan.operations is not None and len(history.writes) + len(history.reads) >= plan.operations:
            return True
        if monotonic() <= end:
            return False
        return verdict.injected.total() >= plan.injections and history.count(Outcome.OK) >= plan.acknowledged

    clients = [
        Client(
            f"{plan.seed}.{number}",
            register,
            names,
            verdict.history,
            Random(f"{plan.seed} client {number}"),
            plan.writes,
        )
        for number in range(plan.clients)
    ]
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.run(stand.service, over))
        for name, faults in FAULTS[stand.topology].items():
            chosen = [fault for fault in faults if fault.__name__ in plan.faults]
            if chosen:
                random = Random(f"{plan.seed} {name}")
                group.create_task(_inject(stand, chosen, random, plan.pause, over, verdict.injected))
    healed = monotonic()
    await soon(lambda: _look_at_all(stand, register, clients[0], names))
    verdict.back = monotonic() - healed
    _judge(verdict, register, stand.failovers)
    status, said = await stand.fsck()
    verdict.found += [f"fsck: {said}"] if status else []
    return verdict


def _judge(verdict: Verdict, register: Register, failovers: list[float]) -> None:
    left = verdict.history
    if register.versions:
        account = losses.judge(left, failovers)
        left = account.left
        verdict.found, verdict.undecided, verdict.lost = account.found, account.undecided, account.lost
        verdict.found += atomic.half_lost(verdict.history, left, failovers)
        verdict.found += atomic.check(left)
    verdict.found += linearizability.check(left)


async def _inject(
    stand: Service, faults: list[Fault], random: Random, pause: float, over: Callable[[], bool], injected: Counter[str]
) -> None:
    while not over():
        await asyncio.sleep(pause * random.random())
        fault = random.choice(faults)
        await fault(stand, random)
        injected[fault.__name__] += 1


async def _look_at_all(stand: Service, register: Register, client: Client, names: list[str]) -> bool:
    """Read every key in every way that the dialect has. Return False if a read is refused or fails."""
    try:
        async with connected(stand.service) as wire:
            random = Random(0)
            for name in names:
                for request in {register.read(random, name) for _ in range(20)}:
                    if not await client.look(wire, name, request):
                        return False
    except (OSError, EOFError, TimeoutError):
        return False
    return True
