"""Tests rules and dashboard: valid PromQL over metrics and labels of the code, and a runbook for every alert."""

import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from service.metrics import METRICS, Kind
from service.storage import errors
from tests.k8s.kustomize import K8S, Object
from tests.k8s.objects import named

RULES = yaml.safe_load((K8S / "monitoring" / "rules.yaml").read_text())["spec"]["groups"][0]["rules"]
DASHBOARD = json.loads((K8S / "monitoring" / "dashboard.json").read_text())
QUERIES = [rule["expr"] for rule in RULES] + [
    target["expr"].replace("$__rate_interval", "5m") for panel in DASHBOARD["panels"] for target in panel["targets"]
]
# What Prometheus adds to what it scrapes; `le` is a histogram's own.
ADDED = {"pod", "namespace", "le"}


def series() -> dict[str, set[str]]:
    """Name and labels of everything that /metrics shows of the service."""
    found: dict[str, set[str]] = {}
    for metric in METRICS:
        ends = ("_bucket", "_count", "_sum") if metric.kind is Kind.HISTOGRAM else ("",)
        found |= {metric.name + end: set(metric.labels) for end in ends}
    return found


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_is_promql_over_metrics_of_the_code(query: str) -> None:
    known = series()
    text = promql_parser.parse(query).prettify()
    names = set(re.findall(r"\bpolystow_\w+", text))
    assert names
    assert names <= set(known)
    labels = {label for name in names for label in known[name]} | ADDED
    for grouped in re.findall(r"\bby \(([^)]*)\)", text):
        assert set(grouped.split(", ")) <= labels
    for matched in re.findall(r"\{([^}]*)\}", text):
        assert set(re.findall(r"(\w+)(?:=~|!~|!=|=)", matched)) <= labels


def test_a_counter_is_only_read_as_a_rate() -> None:
    counters = [metric.name for metric in METRICS if metric.kind is Kind.COUNTER]
    for query in QUERIES:
        for name in counters:
            for place in re.finditer(rf"\b{name}\b", query):
                assert re.search(r"(rate|increase)\($", query[: place.start()]), query


def test_refusals_in_queries_are_refusals_of_storage() -> None:
    named_ = {name for query in QUERIES for name in re.findall(r'refusal="(\w+)"', query)}
    assert named_
    assert all(issubclass(getattr(errors, name), errors.Refusal) for name in named_)


def test_the_autoscaler_uses_a_metric_of_the_code(built: dict[str, dict[str, list[Object]]]) -> None:
    gauges = {metric.name for metric in METRICS if metric.kind is Kind.GAUGE and not metric.labels}
    for overlay in ("single", "cluster", "external"):
        metrics: Any = named(built["reading"][overlay], "HorizontalPodAutoscaler", "polystow")["spec"]["metrics"]
        assert {each["pods"]["metric"]["name"] for each in metrics if each["type"] == "Pods"} <= gauges
        assert [each["type"] for each in metrics] == ["Resource", "Pods"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_has_a_summary_and_an_existing_runbook(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"].endswith(".")
    file, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (K8S.parent / Path(file)).read_text(), re.MULTILINE)
    assert anchor == rule["alert"].lower()
    assert anchor in {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_labels_in_summaries_survive_the_aggregation() -> None:
    for rule in RULES:
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            assert f"by ({label})" in rule["expr"]


def test_the_dashboard_has_distinct_panels_side_by_side() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource"]
