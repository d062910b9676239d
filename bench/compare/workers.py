"""The part `workers`: two workers against one, as throughput and as CPU time per request.

If client and Redis share the two cores with the workers, throughput cannot double, whatever the service does. The
figure to read is then the capacity, workers / CPU seconds per request: the throughput with a core for each worker.
"""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

from bench.compare.loading import prepare
from bench.compare.rounds import Samples, Spread, measure
from bench.compare.systems.polystow import FastPath
from bench.compare.workloads import GET, PUT
from bench.placement import Placement
from bench.results import table


class OneWorker(FastPath):
    name = "one worker"


class TwoWorkers(FastPath):
    name = "two workers"
    settings: ClassVar[dict[str, object]] = {"workers": 2}

    @property
    def cores(self) -> str:
        return self.placement.workers


def run(
    placement: Placement, directory: Path, *, quick: bool, say: Callable[[str], None]
) -> tuple[str, dict[str, Any]]:
    """Measure, and return a table and the figures. Raises Unusable, Wrong."""
    figures: dict[str, Any] = {}
    with ExitStack() as stack:
        systems = [OneWorker(placement, directory), TwoWorkers(placement, directory)]
        for system in systems:
            system.start(stack)
            asyncio.run(prepare(system, (GET, PUT)))
        for workload in (GET, PUT):
            samples = measure(systems, workload, 2 if quick else 3, 1 if quick else 3, say)
            figures[workload.title] = _figures(samples)
    return _table(figures), {"placement": placement.note, "quick": quick, "workloads": figures}


def _figures(samples: Samples) -> dict[str, Any]:
    one, two = samples[OneWorker.name], samples[TwoWorkers.name]
    ratio = Spread.of(after.rate / before.rate for before, after in zip(one, two, strict=True))
    cpu = [median(each.cpu["server"] for each in taken) for taken in (one, two)]
    return {
        "rate": [round(median(each.rate for each in taken)) for taken in (one, two)],
        "rate_ratio": [round(each, 3) for each in (ratio.median, ratio.least, ratio.most)],
        "cpu_us": [round(each, 2) for each in cpu],
        "capacity_ratio": round(2 * cpu[0] / cpu[1], 3),
    }


def _table(figures: dict[str, Any]) -> str:
    rows = [
        [
            title,
            *(f"{rate:,}" for rate in each["rate"]),
            f"{each['rate_ratio'][0]:.2f}",
            *(f"{cpu:.1f}" for cpu in each["cpu_us"]),
            f"{each['capacity_ratio']:.2f}",
        ]
        for title, each in figures.items()
    ]
    return table(["", "one, /s", "two, /s", "x", "one, CPU us", "two, CPU us", "x by CPU"], rows)
