"""Metrics: the table of all metrics (`METRICS`), and the meter with which each process counts them.

Invariant: label values come from the code (dialects, route templates, refusals), never from a request, so a client
cannot increase the number of series.

The meter uses lists and dicts. The objects of prometheus_client take a lock per increment, and its multiprocess mode
writes every value to a mapped file. Only the parent process uses prometheus_client (`operations/exposition.py`).
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

Snapshot = dict[str, list[Any]]  # kind -> [name, labels, value] of each series; sent as msgpack


class Kind(StrEnum):
    """The type of a metric. Counters and histograms are summed over processes, dead ones included; gauges over living
    ones."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table. A metric with the label `worker` is shown for each worker; all others are summed."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


_ANSWERED = "Seconds from the head of a request to its answer; the count is the number of requests."
_BY = ("dialect", "route", "method", "status")

METRICS = (
    Metric("polystow_request_duration_seconds", Kind.HISTOGRAM, _ANSWERED, _BY),
    Metric("polystow_requests_in_flight", Kind.GAUGE, "Requests that are being answered."),
    Metric("polystow_refusals_total", Kind.COUNTER, "Requests refused, by kind of refusal.", ("dialect", "refusal")),
    Metric("polystow_redis_commands_total", Kind.COUNTER, "Commands sent to Redis."),
    Metric(
        "polystow_redis_round_trips_total",
        Kind.COUNTER,
        "Writes to connections to Redis, each with one or more commands.",
    ),
    Metric(
        "polystow_redis_retries_total",
        Kind.COUNTER,
        "Commands sent again, because they had not been executed or were reads.",
    ),
    Metric("polystow_redis_reconnects_total", Kind.COUNTER, "Connections to Redis opened again after a loss."),
    Metric("polystow_redis_lane_depth", Kind.GAUGE, "Commands that wait to be sent to Redis or for its reply."),
    Metric("polystow_read_cache_hits_total", Kind.COUNTER, "Reads answered from the read cache."),
    Metric(
        "polystow_read_cache_misses_total", Kind.COUNTER, "Reads whose answer was not, or no longer, in the read cache."
    ),
    Metric(
        "polystow_read_cache_barriers_total",
        Kind.COUNTER,
        "Commands sent to confirm that answers in the read cache are current.",
    ),
    Metric(
        "polystow_read_cache_invalidations_total", Kind.COUNTER, "Messages from Redis that a cached key has changed."
    ),
    Metric("polystow_read_cache_bytes", Kind.GAUGE, "Memory used by the read caches."),
    Metric("polystow_feed_followers", Kind.GAUGE, "Clients that follow a stream of changes."),
    Metric("polystow_feed_events_total", Kind.COUNTER, "Events given to clients that follow a stream of changes."),
    Metric("polystow_feed_cut_total", Kind.COUNTER, "Clients cut off because more waited for them than is allowed."),
    Metric("polystow_feed_unread_bytes", Kind.GAUGE, "Memory of changes that clients of a feed have not read."),
    Metric("polystow_feed_reads_total", Kind.COUNTER, "Reads of followed streams, each for all followers of a worker."),
    Metric("polystow_worker_resident_bytes", Kind.GAUGE, "Resident memory of a worker.", ("worker",)),
    Metric("polystow_worker_cpu_seconds_total", Kind.COUNTER, "Processor time of a worker.", ("worker",)),
    Metric("polystow_workers", Kind.GAUGE, "Workers that are ready."),
    Metric("polystow_worker_restarts_total", Kind.COUNTER, "Workers started again after they died."),
    Metric("polystow_embedded_redis_restarts_total", Kind.COUNTER, "Times that the embedded Redis was started again."),
    Metric("polystow_build_info", Kind.GAUGE, "Always 1; the label is the running version.", ("version",)),
)

_KINDS = {metric.name: metric.kind for metric in METRICS}


class Series:
    """One histogram: the number of requests per bucket and the sum of their seconds. The last bucket has no bound."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one request and the seconds that it took."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds


class Meter:
    """The counters of one process."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, str, int], Series] = {}
        self._refusals: dict[tuple[str, str], int] = {}
        self._watched: list[tuple[str, tuple[str, ...], Callable[[], float]]] = []

    def observe(self, dialect: str, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request. `route` is its template; an unknown `method` counts as `other`."""
        self.series(dialect, route, method, status).add(seconds)

    def series(self, dialect: str, route: str, method: str, status: int) -> Series:
        """Return the counter of the requests that have these labels."""
        return self._requests.get((dialect, route, method, status)) or self._new(dialect, route, method, status)

    def _new(self, dialect: str, route: str, method: str, status: int) -> Series:
        known = method if method in METHODS else "other"
        return self._requests.setdefault((dialect, route, known, status), Series())

    def refused(self, dialect: str, refusal: str) -> None:
        """Count one refusal by its name."""
        series = (dialect, refusal)
        self._refusals[series] = self._refusals.get(series, 0) + 1

    def watch(self, name: str, read: Callable[[], float], *labels: str) -> None:
        """Read the value of a metric of the table with `read` whenever a snapshot is taken."""
        if name not in _KINDS:
            raise ValueError(f"{name} is not a metric of the table")
        self._watched.append((name, labels, read))

    def snapshot(self) -> Snapshot:
        """Return everything that was counted so far. This takes about 0.3 us per series."""
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
    """Measure the memory and processor time of this worker."""
    meter.watch("polystow_worker_cpu_seconds_total", process_time)
    meter.watch("polystow_worker_resident_bytes", _resident_bytes)


def _resident_bytes() -> float:
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
