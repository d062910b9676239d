"""Rounds: in each round, every system that supports a workload has one turn, so that all get the same conditions."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import Any

from bench.compare.loading import Wrong
from bench.compare.system import System
from bench.compare.workloads import Workload
from bench.compare.wrk import Sample

Samples = dict[str, list[Sample]]  # by system, one for each round
Turn = Callable[[int], Sample]  # runs a system's turn in the round with this number


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with the smallest and the largest value."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        given = list(values)
        return cls(median(given), min(given), max(given))


def measure(
    systems: Sequence[System], workload: Workload, rounds: int, seconds: int, say: Callable[[str], None]
) -> Samples:
    """Measure one workload. Raises Wrong."""
    turns = [(system, partial(system.measure, workload, seconds)) for system in systems if system.knows(workload)]
    return take_turns(workload.name, turns, rounds, say, missing=workload.parts[0][1] == "missing")


def take_turns(
    name: str, turns: Sequence[tuple[System, Turn]], rounds: int, say: Callable[[str], None], *, missing: bool = False
) -> Samples:
    """Give each system its turn in each round. `missing`: the expected answer is 404. Raises Wrong."""
    samples: Samples = {system.name: [] for system, _ in turns}
    for number in range(rounds):
        for system, turn in turns:
            sample = turn(number)
            system.rest()
            check(system.name, name, sample, missing=missing)
            samples[system.name].append(sample)
    rates = (f"{system} {Spread.of(each.rate for each in taken).median:,.0f}/s" for system, taken in samples.items())
    say(f"{name}: {', '.join(rates)}")
    return samples


def check(system: str, asked: str, sample: Sample, *, missing: bool = False) -> None:
    """Check that every request got its expected answer. Raises Wrong."""
    due = sample.requests if missing else 0
    if sample.broken or sample.refused != due or not sample.requests:
        raise Wrong(
            f"{system}: {asked}: of {sample.requests} requests {sample.broken} broke, and {sample.refused}"
            f" instead of {due} had a status from 400 on"
        )


def ratios(samples: Samples, of: str, to: str) -> Spread | None:
    """Return the ratio of one system's throughput to another's, for each round."""
    if not samples.get(of) or not samples.get(to):
        return None
    return Spread.of(one.rate / other.rate for one, other in zip(samples[of], samples[to], strict=True))


def spreads(samples: Samples, of: str) -> dict[str, list[float]]:
    """Return the ratios of one system to every other: median, smallest and largest."""
    found = {other: ratios(samples, of, other) for other in samples if other != of}
    return {
        other: [round(spread.median, 3), round(spread.least, 3), round(spread.most, 3)]
        for other, spread in found.items()
        if spread
    }


def summary(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return the medians of a system's turns, and the turns themselves."""
    return {
        "rate": round(median(each.rate for each in samples)),
        "p50_ms": round(median(each.p50 for each in samples), 3),
        "p99_ms": round(median(each.p99 for each in samples), 3),
        "cpu_us": {name: round(median(each.cpu[name] for each in samples), 2) for name in samples[0].cpu},
        "turns": [asdict(each) for each in samples],
    }
