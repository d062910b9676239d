"""`--against FILE`: compares the CPU time of each request with that in an earlier run.

Times are multiples of the time for bare aiohttp's constant answer in the same run, so that runs of a fast and of a slow
machine can be compared.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.compare.systems import SUBJECT
from bench.compare.systems.bare import Bare

TOLERANCE = 0.05  # share of the earlier CPU time
KINDS = ("operations", "workloads")  # the members of a result that hold figures by name
YARDSTICK = "get"  # the workload whose figure of bare aiohttp is used for workloads without one


def grown(now: Mapping[str, Any], earlier: Mapping[str, Any]) -> list[str]:
    """Return a line for each request that takes over `TOLERANCE` more CPU time than earlier, server and Redis together.

    Raises ValueError if the two runs have nothing in common.
    """
    before = dict(_costs(earlier))
    both = [(name, cost, before[name]) for name, cost in _costs(now) if name in before]
    if not both:
        raise ValueError("the earlier run has none of these figures")
    return [
        f"{name}: {cost:.3f} of bare aiohttp's CPU time, {cost / was - 1:+.0%} (before: {was:.3f})"
        for name, cost, was in both
        if cost > was * (1 + TOLERANCE)
    ]


def read(path: Path) -> dict[str, Any]:
    """Return the figures of an earlier run. Raises ValueError if the file holds none."""
    found = json.loads(path.read_bytes())
    if not isinstance(found, dict) or not any(kind in found for kind in KINDS):
        raise ValueError(f"{path} has no figures of `dialects` or `systems`")
    return found


def _costs(figures: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield names with the CPU time of one request in units of bare aiohttp's."""
    for kind in KINDS:
        taken = figures.get(kind, {})
        for name, each in taken.items():
            systems = each["systems"]
            unit = systems.get(Bare.name) or taken.get(YARDSTICK, {}).get("systems", {}).get(Bare.name)
            if unit and (subject := systems.get(SUBJECT)):
                yield name, sum(subject["cpu_us"].values()) / sum(unit["cpu_us"].values())
