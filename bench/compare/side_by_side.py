"""The part `systems`: all systems, all workloads, in turns."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.compare.loading import prepare
from bench.compare.plot import draw
from bench.compare.report import tables, verdicts
from bench.compare.rounds import Samples, measure, spreads, summary
from bench.compare.systems import SUBJECT, select
from bench.compare.workloads import WORKLOADS, Workload
from bench.placement import Placement
from bench.processes import said

ROUNDS = 3
MAIN_ROUNDS = 5
SECONDS = 2
QUICK_ROUNDS = 2
QUICK_SECONDS = 1
QUICK_KEYS = 1000


def run(
    names: Sequence[str],
    systems: Sequence[str],
    placement: Placement,
    directory: Path,
    *,
    before: Path | None,
    quick: bool,
    say: Callable[[str], None],
) -> tuple[str, dict[str, Any], Callable[[Path], None]]:
    """Measure, and return the tables, the figures and the function that draws the picture. Raises Unusable, Wrong."""
    workloads = chosen(names, quick=quick)
    with ExitStack() as stack:
        running = select(systems, before, placement, directory)
        measured: dict[str, Samples] = {}
        for system in running:
            say(f"{system.name}: starts and loads")
            system.start(stack)
            asyncio.run(prepare(system, workloads))
        for workload in workloads:
            rounds = QUICK_ROUNDS if quick else MAIN_ROUNDS if workload.main else ROUNDS
            measured[workload.name] = measure(running, workload, rounds, QUICK_SECONDS if quick else SECONDS, say)
        figures = {
            "placement": placement.note,
            "quick": quick,
            "systems": {each.name: {"about": each.about, "version": each.version()} for each in running},
            "client": said("wrk", "--version").splitlines()[0].split("[")[0].strip(),
            "goals": [asdict(each) for each in verdicts(measured)],
            "workloads": {each.name: _figures(each, measured[each.name]) for each in workloads},
        }
    return tables(measured), figures, lambda path: draw(measured, path, placement.note)


def chosen(names: Sequence[str], *, quick: bool) -> list[Workload]:
    """Return the named workloads, or all. A quick run has only the main ones, and loads less data."""
    found = [each for each in WORKLOADS if (each.name in names if names else each.main or not quick)]
    return [replace(each, keys=min(each.keys, QUICK_KEYS)) for each in found] if quick else found


def _figures(workload: Workload, samples: Samples) -> dict[str, Any]:
    return {
        "title": workload.title,
        "bytes": workload.size,
        "connections": workload.connections,
        "keys": workload.keys,
        "systems": {name: summary(taken) for name, taken in samples.items()},
        "ratios": spreads(samples, SUBJECT),
    }
