"""Tests metrics: they are counted in a worker and added up in the parent, and Prometheus can read them."""

import msgpack
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.metrics import METRICS, Kind, Meter, Snapshot
from service.operations.exposition import Totals


def seen(totals: Totals) -> dict[str, float]:
    """Return the samples of /metrics: `name{label,...}` -> value, with labels in the order of the text."""
    registry = CollectorRegistry()
    registry.register(totals)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        f"{sample.name}{{{','.join(sample.labels.values())}}}": sample.value
        for family in families
        for sample in family.samples
    }


def snapshot(meter: Meter) -> Snapshot:
    """Return a snapshot after it was sent over the link."""
    taken: Snapshot = msgpack.unpackb(msgpack.packb(meter.snapshot()))
    return taken


def test_a_request_is_counted_in_the_bucket_of_its_duration() -> None:
    meter, totals = Meter(), Totals(Meter())
    for seconds in (0.0005, 0.0006, 99.0):
        meter.observe("ainoflow", "/x/{key}", "GET", 200, seconds)
    totals.update(0, snapshot(meter))
    shown = seen(totals)
    name = "polystow_request_duration_seconds"
    assert shown[name + "_bucket{ainoflow,0.0005,GET,/x/{key},200}"] == 1
    assert shown[name + "_bucket{ainoflow,0.001,GET,/x/{key},200}"] == 2
    assert shown[name + "_bucket{ainoflow,10.0,GET,/x/{key},200}"] == 2
    assert shown[name + "_bucket{ainoflow,+Inf,GET,/x/{key},200}"] == 3
    assert shown[name + "_count{ainoflow,GET,/x/{key},200}"] == 3
    assert shown[name + "_sum{ainoflow,GET,/x/{key},200}"] == pytest.approx(99.0011)


def test_unusual_methods_share_one_series() -> None:
    meter = Meter()
    for number in range(100):
        meter.observe("ainoflow", "/x", f"ODD{number}", 405, 0.001)
    (series,) = meter.snapshot()[Kind.HISTOGRAM]
    assert series[1] == ["ainoflow", "/x", "other", "405"]
    assert sum(series[2][:-1]) == 100


def test_refusals_are_counted_by_name() -> None:
    meter, totals = Meter(), Totals(Meter())
    for refusal in ("NotFound", "NotFound", "Denied"):
        meter.refused("ainoflow", refusal)
    totals.update(0, snapshot(meter))
    assert seen(totals)["polystow_refusals_total{ainoflow,NotFound}"] == 2
    assert seen(totals)["polystow_refusals_total{ainoflow,Denied}"] == 1


def test_watched_values_are_read_when_a_snapshot_is_taken() -> None:
    meter, depth = Meter(), [1]
    meter.watch("polystow_redis_lane_depth", lambda: depth[0])
    depth[0] = 5
    assert meter.snapshot()[Kind.GAUGE] == [["polystow_redis_lane_depth", [], 5]]


def test_only_metrics_of_the_table_can_be_watched() -> None:
    with pytest.raises(ValueError, match="polystow_redis_lane_dept is not a metric"):
        Meter().watch("polystow_redis_lane_dept", lambda: 1)


def worker(commands: int, requests: int, depth: int) -> Snapshot:
    meter = Meter()
    meter.watch("polystow_redis_commands_total", lambda: commands)
    meter.watch("polystow_redis_lane_depth", lambda: depth)
    meter.watch("polystow_worker_cpu_seconds_total", lambda: commands / 10)
    for _ in range(requests):
        meter.observe("ainoflow", "/x", "GET", 200, 0.002)
    return snapshot(meter)


REQUESTS = "polystow_request_duration_seconds_count{ainoflow,GET,/x,200}"


def test_metrics_of_workers_are_summed_unless_they_are_per_worker() -> None:
    totals = Totals(Meter())
    totals.update(0, worker(commands=10, requests=1, depth=3))
    totals.update(1, worker(commands=20, requests=2, depth=4))
    shown = seen(totals)
    assert shown["polystow_redis_commands_total{}"] == 30
    assert shown["polystow_redis_lane_depth{}"] == 7
    assert shown[REQUESTS] == 3
    assert shown["polystow_worker_cpu_seconds_total{0}"] == 1
    assert shown["polystow_worker_cpu_seconds_total{1}"] == 2


def test_when_a_worker_is_replaced_totals_never_fall_and_its_gauges_disappear() -> None:
    totals = Totals(Meter())
    totals.update(0, worker(commands=10, requests=5, depth=3))
    totals.retire(0)
    assert seen(totals)["polystow_redis_commands_total{}"] == 10
    assert "polystow_redis_lane_depth{}" not in seen(totals)
    totals.update(0, worker(commands=1, requests=1, depth=1))
    shown = seen(totals)
    assert shown["polystow_redis_commands_total{}"] == 11
    assert shown[REQUESTS] == 6
    assert shown["polystow_worker_cpu_seconds_total{0}"] == pytest.approx(1.1)
    assert shown["polystow_redis_lane_depth{}"] == 1


def test_a_worker_that_died_before_its_first_report_changes_nothing() -> None:
    totals = Totals(Meter())
    totals.retire(0)
    assert seen(totals) == {}


def test_names_end_with_their_unit_and_counters_with_total() -> None:
    for metric in METRICS:
        assert metric.name.startswith("polystow_")
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER), metric.name
        assert metric.help.endswith("."), metric.name
