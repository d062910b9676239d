"""The part `latency`: latencies at a fixed rate, timed from the moment at which each request was due.

wrk sends a request when the last one is answered: its rate is always the maximum, and its latencies leave out requests
that a stall would have delayed. Here the client (bench/compare/paced.py) sends at 50 % and at 80 % of its own maximum
in the same run. It is written in Python, so its maximum is less than wrk's, above all for reads from memory.
"""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from bench.compare.loading import Wrong, prepare
from bench.compare.paced import LATE_SECONDS, Order, Outcome, Part
from bench.compare.systems.polystow import FastPath
from bench.compare.workloads import GET, MIX, PUT, Workload
from bench.placement import Placement
from bench.processes import ROOT
from bench.results import table

WORKLOADS = (GET, PUT, MIX)
SHARES = (0.5, 0.8)  # of the maximum rate


def run(
    placement: Placement, directory: Path, *, quick: bool, say: Callable[[str], None]
) -> tuple[str, dict[str, Any]]:
    """Measure, and return a table and the figures. Raises Unusable, Wrong."""
    figures: dict[str, Any] = {}
    with ExitStack() as stack:
        system = FastPath(placement, directory)
        system.start(stack)
        asyncio.run(prepare(system, WORKLOADS))
        for workload in WORKLOADS:
            figures[workload.title] = _measured(system, workload, 1 if quick else 3, 1.0 if quick else 5.0)
            say(f"latency, {workload.name}: at most {figures[workload.title]['most']:,}/s")
    return _table(figures), {"placement": placement.note, "quick": quick, "workloads": figures}


def _measured(system: FastPath, workload: Workload, rounds: int, seconds: float) -> dict[str, Any]:
    """Measure one workload in rounds: the maximum rate in each round, and then each share of it."""
    most: list[float] = []
    taken: dict[float, list[Outcome]] = {share: [] for share in SHARES}
    for number in range(rounds):
        outcome = paced(system, workload, 0.0, seconds, number)
        most.append(outcome.requests / outcome.seconds)
        for share in SHARES:
            taken[share].append(paced(system, workload, share * most[-1], seconds, number))
    return {
        "most": round(median(most)),
        "shares": {f"{share:.0%}": _medians(outcomes) for share, outcomes in taken.items()},
    }


def paced(system: FastPath, workload: Workload, rate: float, seconds: float, number: int) -> Outcome:
    """Run the client once, on its own core. Raises Wrong if a request was refused or broke."""
    parts = []
    for weight, kind in workload.parts:
        request = system.request(kind, workload.place, workload.size)
        assert request is not None
        parts.append(Part(weight, request.method, request.path, request.headers, request.body.decode()))
    order = Order(system.url, parts, rate, seconds, workload.connections, system.keys(workload), number + 1)
    command = [sys.executable, "-m", "bench.compare.paced"]
    if system.placement.client:
        command = ["taskset", "-c", system.placement.client, *command]
    done = subprocess.run(
        command,
        cwd=ROOT,
        input=msgspec.json.encode(order),
        stdout=subprocess.PIPE,
        check=True,
        timeout=seconds + 2 * LATE_SECONDS + 30,
    )
    system.rest()
    outcome = msgspec.json.decode(done.stdout, type=Outcome)
    if outcome.refused or outcome.broken or not outcome.requests:
        raise Wrong(
            f"{workload.name} at {rate:,.0f}/s: of {outcome.requests} requests {outcome.refused} were refused, and"
            f" {outcome.broken} got no answer"
        )
    return outcome


def _medians(outcomes: list[Outcome]) -> dict[str, float]:
    return {
        "rate": round(median(each.requests / each.seconds for each in outcomes)),
        "p50_ms": median(each.p50 for each in outcomes),
        "p99_ms": median(each.p99 for each in outcomes),
        "p999_ms": median(each.p999 for each in outcomes),
        "longest_ms": max(each.longest for each in outcomes),
        "late_p50_ms": median(each.late_p50 for each in outcomes),
        "late_p99_ms": median(each.late_p99 for each in outcomes),
        "cpu": median(each.cpu for each in outcomes),
    }


def _table(figures: dict[str, Any]) -> str:
    rows = [
        [
            title,
            f"{each['most']:,}",
            share,
            f"{found['rate']:,}",
            *(f"{found[name]:.2f}" for name in ("p50_ms", "p99_ms", "p999_ms", "longest_ms")),
            f"{found['late_p50_ms']:.2f}, {found['late_p99_ms']:.2f}",
            f"{found['cpu']:.0%}",
        ]
        for title, each in figures.items()
        for share, found in each["shares"].items()
    ]
    times = ("p50, ms", "p99, ms", "p99.9, ms", "longest, ms", "client late: p50, p99, ms", "client's CPU")
    return table(["", "at most, /s", "share", "/s", *times], rows)
