"""Turns: every system that knows a workload has one in each round, so that all see the same moments of the machine."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from bench.compare.loading import Wrong
from bench.compare.system import System
from bench.compare.workloads import Workload
from bench.compare.wrk import Sample

Samples = dict[str, list[Sample]]  # by system, one for each round


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, and between what it lies."""

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
    knowing = [system for system in systems if system.knows(workload)]
    samples: Samples = {system.name: [] for system in knowing}
    for turn in range(rounds):
        for system in knowing:
            sample = system.measure(workload, seconds, turn)
            system.rest()
            check(system.name, workload, sample)
            samples[system.name].append(sample)
    rates = (f"{name} {Spread.of(each.rate for each in taken).median:,.0f}/s" for name, taken in samples.items())
    say(f"{workload.name}: {', '.join(rates)}")
    return samples


def check(name: str, workload: Workload, sample: Sample) -> None:
    """Every request must have had the answer that is due to it. Raises Wrong."""
    due = sample.requests if workload.parts[0][1] == "missing" else 0
    if sample.broken or sample.refused != due or not sample.requests:
        raise Wrong(
            f"{name}: {workload.name}: of {sample.requests} requests {sample.broken} broke, and {sample.refused}"
            f" instead of {due} had a status from 400 on"
        )


def ratios(samples: Samples, of: str, to: str) -> Spread | None:
    """The throughput of one system as a multiple of another's, round by round."""
    if not samples.get(of) or not samples.get(to):
        return None
    return Spread.of(one.rate / other.rate for one, other in zip(samples[of], samples[to], strict=True))


def summary(samples: Sequence[Sample]) -> dict[str, Any]:
    """The medians of a system's turns, and the turns themselves."""
    return {
        "rate": round(median(each.rate for each in samples)),
        "p50_ms": round(median(each.p50 for each in samples), 3),
        "p99_ms": round(median(each.p99 for each in samples), 3),
        "cpu_us": {name: round(median(each.cpu[name] for each in samples), 2) for name in samples[0].cpu},
        "turns": [asdict(each) for each in samples],
    }
