"""The comparison as tables: the results of each system, and the ratios of the service's throughput to the others'."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.compare.rounds import Samples, Spread, ratios, summary
from bench.compare.systems import SUBJECT
from bench.compare.workloads import BY_NAME
from bench.results import table

Measured = Mapping[str, Samples]  # by workload

# Goals: workload, system, smallest ratio of requests per second. A PATCH or PUT is compared with a SET.
GOALS = (
    ("hot", "limit", 0.8),
    ("get-c256", "limit", 0.85),
    ("get-c1", "cache off", 0.97),
    ("once", "cache off", 0.97),
    ("mix-50", "cache off", 0.95),
    ("get", "nginx+Lua", 2.0),
    ("get-c256", "nginx+Lua", 2.2),
    ("put", "nginx+Lua", 0.8),
    ("patch", "nginx+Lua", 0.65),
    ("get", "webdis", 1.0),
    ("get", "aiohttp", 1.4),
    ("put", "webdis", 0.6),
    ("new", "webdis", 0.6),
    ("patch", "webdis", 0.35),
    ("get", "kinto", 20),
    ("put", "kinto", 20),
    ("new", "kinto", 20),
    ("patch", "kinto", 20),
    ("list", "kinto", 20),
)
P99_GOAL = 2.0  # largest multiple of Webdis's


def tables(measured: Measured) -> str:
    """Return the tables in Markdown: ratios, then throughput, latency and CPU time."""
    names = list(dict.fromkeys(name for samples in measured.values() for name in samples))
    others = [name for name in names if name != SUBJECT]
    parts = []
    if SUBJECT in names and others:
        parts.append(f"How many times as many requests per second {SUBJECT} answers (median, least to most):")
        parts.append(_ratios(measured, others))
        if verdicts(measured):
            parts += ["Goals:", judged(measured)]
    parts.append("Requests per second (medians):")
    parts.append(_figures(measured, names, "rate"))
    parts.append("Latency, p50 / p99 in ms:")
    parts.append(_figures(measured, names, "latency"))
    parts.append("CPU microseconds per request, server + Redis:")
    parts.append(_figures(measured, names, "cpu"))
    return "\n\n".join(parts)


def _ratios(measured: Measured, others: Iterable[str]) -> str:
    others = list(others)
    rows = [
        [BY_NAME[name].title, *(_times(ratios(samples, SUBJECT, other)) for other in others)]
        for name, samples in measured.items()
    ]
    return table(["", *(f"x {other}" for other in others)], rows)


def _times(spread: Spread | None) -> str:
    if spread is None:
        return ""
    digits = 2 if spread.median < 10 else 0
    return f"{spread.median:.{digits}f} ({spread.least:.{digits}f} to {spread.most:.{digits}f})"


def _figures(measured: Measured, names: list[str], what: str) -> str:
    rows = [
        [BY_NAME[workload].title, *(_figure(samples, name, what) for name in names)]
        for workload, samples in measured.items()
    ]
    return table(["", *names], rows)


def _figure(samples: Samples, name: str, what: str) -> str:
    if not samples.get(name):
        return ""
    found = summary(samples[name])
    if what == "rate":
        return f"{found['rate']:,}"
    if what == "latency":
        return f"{found['p50_ms']:.2f} / {found['p99_ms']:.2f}"
    return " + ".join(f"{found['cpu_us'][each]:.1f}" for each in ("server", "redis") if each in found["cpu_us"])


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal and the measured value. `kept` is True if the goal is reached."""

    workload: str
    what: str
    goal: float
    measured: float
    kept: bool


def verdicts(measured: Measured) -> list[Verdict]:
    """Return the goals for which there are measured workloads."""
    found = []
    for workload, other, goal in GOALS:
        if workload in measured and (spread := ratios(measured[workload], SUBJECT, other)):
            ratio = round(spread.median, 3)
            found.append(Verdict(workload, f"requests per second x {other}", goal, ratio, ratio >= goal))
    samples = measured.get("get", {})
    if samples.get(SUBJECT) and samples.get("webdis"):
        ours, theirs = (summary(samples[name])["p99_ms"] for name in (SUBJECT, "webdis"))
        found.append(Verdict("get", "p99 x webdis", P99_GOAL, round(ours / theirs, 3), ours <= P99_GOAL * theirs))
    return found


def judged(measured: Measured) -> str:
    """Return the goals as a table."""
    rows = [
        [
            f"{BY_NAME[each.workload].title}: {each.what}",
            f"{each.goal:g}",
            f"{each.measured:g}",
            "yes" if each.kept else "no",
        ]
        for each in verdicts(measured)
    ]
    return table(["", "goal", "measured", "kept"], rows)
