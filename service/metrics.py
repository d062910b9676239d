"""Metrics: what is measured (`METRICS`), and the meter with which each process counts it.

Invariant: label values come from the code (dialects, route templates, refusals), never from a request, so
that no client can make the number of series grow.

Plain lists and dicts: prometheus_client's own objects take a lock per increment, and its multiprocess mode
writes each one to a mapped file. Exposition is the parent's (`exposition.py`), so that workers do without it.
"""

import os
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from time import process_time
from typing import Any

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))

Snapshot = dict[str, list[Any]]  # kind -> [name, labels, value] of each series; msgpack carries it


class Kind(StrEnum):
    """The way in which values combine: counters and histograms add up over processes and time, gauges over
    processes."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table. A metric with the label `worker` stands per worker; all others are summed."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


_ANSWERED = "Time from a request's head to its answer; its count is the number of requests."
_BY = ("dialect", "route", "method", "status")

METRICS = (
    Metric("polystow_request_duration_seconds", Kind.HISTOGRAM, _ANSWERED, _BY),
    Metric("polystow_requests_in_flight", Kind.GAUGE, "Requests that are being answered."),
    Metric("polystow_refusals_total", Kind.COUNTER, "Requests refused, by what storage said.", ("dialect", "refusal")),
    Metric("polystow_redis_commands_total", Kind.COUNTER, "Commands sent to Redis."),
    Metric("polystow_redis_round_trips_total", Kind.COUNTER, "Writes to Redis, each with one or more commands."),
    Metric("polystow_redis_retries_total", Kind.COUNTER, "Commands sent again that surely had not been executed."),
    Metric("polystow_redis_reconnects_total", Kind.COUNTER, "Connections to Redis made again after a loss."),
    Metric("polystow_redis_lane_depth", Kind.GAUGE, "Commands that wait for Redis or for its reply."),
    Metric("polystow_read_cache_hits_total", Kind.COUNTER, "Reads answered from the read cache."),
    Metric("polystow_read_cache_misses_total", Kind.COUNTER, "Reads that were not in the read cache, or not any more."),
    Metric("polystow_read_cache_barriers_total", Kind.COUNTER, "Commands that confirmed what reads were answered."),
    Metric("polystow_read_cache_invalidations_total", Kind.COUNTER, "Messages from Redis that keys have changed."),
    Metric("polystow_read_cache_bytes", Kind.GAUGE, "Memory of what the read caches hold."),
    Metric("polystow_worker_resident_bytes", Kind.GAUGE, "Memory of a worker.", ("worker",)),
    Metric("polystow_worker_cpu_seconds_total", Kind.COUNTER, "Processor time of a worker.", ("worker",)),
    Metric("polystow_workers", Kind.GAUGE, "Workers that are ready."),
    Metric("polystow_worker_restarts_total", Kind.COUNTER, "Workers started again after they died."),
    Metric("polystow_embedded_redis_restarts_total", Kind.COUNTER, "Times the embedded Redis was started again."),
    Metric("polystow_build_info", Kind.GAUGE, "Always 1; says which version runs.", ("version",)),
)

_KINDS = {metric.name: metric.kind for metric in METRICS}


class Series:
    """One histogram: requests per bucket, the last beyond all bounds, and their seconds."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds


class Meter:
    """The counters of one process."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, str, int], Series] = {}
        self._refusals: dict[tuple[str, str], int] = {}
        self._watched: list[tuple[str, tuple[str, ...], Callable[[], float]]] = []

    def observe(self, dialect: str, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request. `route` is its template; an odd `method` counts as `other`."""
        self.series(dialect, route, method, status).add(seconds)

    def series(self, dialect: str, route: str, method: str, status: int) -> Series:
        """Return the counter of the requests that have these labels."""
        return self._requests.get((dialect, route, method, status)) or self._new(dialect, route, method, status)

    def _new(self, dialect: str, route: str, method: str, status: int) -> Series:
        known = method if method in METHODS else "other"
        return self._requests.setdefault((dialect, route, known, status), Series())

    def refused(self, dialect: str, refusal: str) -> None:
        """Count one refusal, by its name."""
        series = (dialect, refusal)
        self._refusals[series] = self._refusals.get(series, 0) + 1

    def watch(self, name: str, read: Callable[[], float], *labels: str) -> None:
        """Let `read` be asked for the value of a metric of the table whenever a snapshot is taken."""
        if name not in _KINDS:
            raise ValueError(f"{name} is not a metric of the table")
        self._watched.append((name, labels, read))

    def snapshot(self) -> Snapshot:
        """Everything that was counted so far. Cost: about 0.3 us per series."""
        taken: Snapshot = {Kind.COUNTER: [], Kind.GAUGE: [], Kind.HISTOGRAM: []}
        for (dialect, route, method, status), series in self._requests.items():
            labels = [dialect, route, method, str(status)]
            value = [*series.counts, series.seconds]
            taken[Kind.HISTOGRAM].append(["polystow_request_duration_seconds", labels, value])
        for refused, count in self._refusals.items():
            taken[Kind.COUNTER].append(["polystow_refusals_total", list(refused), count])
        for name, watched, read in self._watched:
            taken[_KINDS[name]].append([name, list(watched), read()])
        return taken


def watch_process(meter: Meter) -> None:
    """Count this worker's memory and processor time."""
    meter.watch("polystow_worker_cpu_seconds_total", process_time)
    meter.watch("polystow_worker_resident_bytes", _resident_bytes)


def _resident_bytes() -> float:
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
