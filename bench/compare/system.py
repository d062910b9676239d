"""The contract of a compared system: how it starts, how each kind of request is sent to it, which documents it has.

To add a system, write a module in `systems/` and add a line to its table.
"""

import time
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import orjson

from bench.compare.workloads import Kind, Workload
from bench.compare.wrk import Order, Request, Sample, run
from bench.placement import Placement
from bench.processes import cpu_seconds

IDLE_SECONDS = 0.2  # a system that uses less than this share of its core for so long is at rest
IDLE_SHARE = 0.15
REST_SECONDS = 10.0


class System(ABC):
    """A compared system. `start` starts it, and the ExitStack given to `start` stops it."""

    name: ClassVar[str]
    about: ClassVar[str]  # the description in the report
    most_keys: ClassVar[int] = 10_000
    everything: ClassVar[bool] = True  # True: it runs all workloads that it supports; False: only the main ones

    def __init__(self, placement: Placement, directory: Path) -> None:
        self.placement = placement
        self.directory = directory / self.name.replace(" ", "-")
        self.directory.mkdir(parents=True)
        self.url = ""
        self.processes: dict[str, list[int]] = {}  # ids of the processes whose CPU time is read, by name: server, redis

    @abstractmethod
    def start(self, stack: ExitStack) -> None:
        """Start the system and register its stop with `stack`. Raises Unusable."""

    @abstractmethod
    def request(self, kind: Kind, place: str, size: int) -> Request | None:
        """Return the system's request for this kind; None if it does not support the kind."""

    def setup(self, place: str) -> list[Request]:
        """Return the requests that the system needs before a collection is used."""
        return []

    def found(self, answer: bytes) -> list[Any]:
        """Return the documents in the answer to a GET or a list."""
        return [orjson.loads(answer)]

    def version(self) -> str:
        return ""

    def knows(self, workload: Workload) -> bool:
        if not (self.everything or workload.main):
            return False
        return all(self.request(kind, workload.place, workload.size) for _, kind in workload.parts)

    def keys(self, workload: Workload) -> int:
        """The number of keys over which the workload runs."""
        return min(workload.keys, self.most_keys)

    def measure(self, workload: Workload, seconds: int, turn: int) -> Sample:
        """Run one turn of a workload that the system supports."""
        parts = [
            (weight, request)
            for weight, kind in workload.parts
            if (request := self.request(kind, workload.place, workload.size))
        ]
        first = turn * 10_000_000 if workload.fresh else 0
        return self.carry_out(
            Order(workload.script, parts, workload.connections, self.keys(workload), first, seed=turn + 1), seconds
        )

    def carry_out(self, order: Order, seconds: int) -> Sample:
        """Run an order against the system and measure its CPU time."""
        before = self.cpu()
        sample = run(self.url, order, seconds, directory=self.directory, cores=self.placement.client)
        used = {name: 1e6 * (now - before[name]) / sample.requests for name, now in self.cpu().items()}
        sample.cpu.update(used)
        return sample

    def rest(self) -> None:
        """Wait until the system has finished its remaining work, because the next system uses the same core."""
        used, deadline = sum(self.cpu().values()), time.monotonic() + REST_SECONDS
        while time.monotonic() < deadline:
            time.sleep(IDLE_SECONDS)
            before, used = used, sum(self.cpu().values())
            if used - before < IDLE_SHARE * IDLE_SECONDS:
                return

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds that its processes have used so far, by name."""
        return {name: cpu_seconds(pids) for name, pids in self.processes.items()}
