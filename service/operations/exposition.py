"""Exposition of metrics for Prometheus: the sum of the snapshots of all processes.

Invariant: a counter never falls. When a worker dies, its last snapshot stays part of the sum, and its successor counts
from zero. At most the last second of a killed worker is missing.
"""

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from service.metrics import BUCKETS, METRICS, Kind, Meter, Snapshot
from service.metrics import Metric as Definition

_BOUNDS = (*(str(bound) for bound in BUCKETS), "+Inf")

Series = dict[tuple[str, ...], Any]  # labels -> value, or counts and seconds of a histogram


class Totals(Collector):
    """The newest snapshot of each living worker, the counts of dead workers, and the meter of the parent process."""

    def __init__(self, own: Meter) -> None:
        self._own = own
        self._living: dict[int, Snapshot] = {}
        self._dead: dict[str, Series] = {metric.name: {} for metric in METRICS}

    def update(self, worker: int, snapshot: Snapshot) -> None:
        """Replace a worker's snapshot with a newer one."""
        self._living[worker] = snapshot

    def retire(self, worker: int) -> None:
        """Keep the counters and histograms of a worker that has died, and drop its gauges."""
        last = self._living.pop(worker, {})
        lasting = {kind: series for kind, series in last.items() if kind != Kind.GAUGE}
        _add(self._dead, lasting, str(worker))

    def collect(self) -> Iterator[Metric]:
        """Yield each metric of the table with its current sums."""
        sums = {name: dict(series) for name, series in self._dead.items()}
        for worker, snapshot in self._living.items():
            _add(sums, snapshot, str(worker))
        _add(sums, self._own.snapshot(), "parent")
        for definition in METRICS:
            yield _family(definition, sums[definition.name])


def _add(sums: dict[str, Series], snapshot: Snapshot, process: str) -> None:
    for kind, taken in snapshot.items():
        for name, labels, value in taken:
            key = tuple(labels) or ((process,) if name in _PER_WORKER else ())
            before = sums[name].get(key)
            if before is None:
                sums[name][key] = value
            elif kind == Kind.HISTOGRAM:
                sums[name][key] = [a + b for a, b in zip(before, value, strict=True)]
            else:
                sums[name][key] = before + value


_PER_WORKER = frozenset(metric.name for metric in METRICS if metric.labels == ("worker",))


def _family(definition: Definition, series: Series) -> Metric:
    if definition.kind is Kind.HISTOGRAM:
        return _histogram(definition, series)
    make = CounterMetricFamily if definition.kind is Kind.COUNTER else GaugeMetricFamily
    family = make(definition.name, definition.help, labels=definition.labels)
    for labels, value in sorted(series.items()):
        family.add_metric(labels, value)
    return family


def _histogram(definition: Definition, series: Series) -> Metric:
    family = HistogramMetricFamily(definition.name, definition.help, labels=definition.labels)
    for labels, (*counts, seconds) in sorted(series.items()):
        running, buckets = 0, []
        for bound, count in zip(_BOUNDS, counts, strict=True):
            running += count
            buckets.append((bound, running))
        family.add_metric(labels, buckets=buckets, sum_value=seconds)
    return family


def registry(totals: Totals) -> CollectorRegistry:
    """Return the registry that /metrics shows: the metrics of the service and those of the parent process."""
    everything = CollectorRegistry()
    everything.register(totals)
    for standard in (ProcessCollector, PlatformCollector, GCCollector):
        standard(registry=everything)
    return everything
