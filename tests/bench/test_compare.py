"""Tests the side-by-side: its arithmetic, and that a system with a wrong answer is not measured."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.compare import against, memory
from bench.compare.loading import Wrong, prepare
from bench.compare.plot import draw
from bench.compare.report import tables, verdicts
from bench.compare.rounds import Spread, check, measure, ratios, summary
from bench.compare.system import System
from bench.compare.systems import SYSTEMS
from bench.compare.systems.bare import Bare
from bench.compare.systems.limit import Limit
from bench.compare.systems.nginx import Nginx
from bench.compare.systems.polystow import CacheOff, FastPath
from bench.compare.workloads import (
    BY_NAME,
    EVEN,
    EXPIRING,
    GET,
    LIST,
    MISSING,
    MIX,
    NEW,
    ONCE,
    PATCH,
    PUT,
    SKEWED,
    WORKLOADS,
    Kind,
    Workload,
)
from bench.compare.wrk import Order, Request, Sample, literal
from bench.placement import placement
from bench.redis_server import RedisServer

HERE = placement([0])


def sample(rate: int, refused: int = 0, broken: int = 0) -> Sample:
    return Sample(rate, 1.0, 1.0, 2.0, refused, broken, {"server": 10.0, "redis": 5.0})


MEASURED = {
    "get": {
        "polystow": [sample(100), sample(60), sample(300)],
        "webdis": [sample(100), sample(50), sample(100)],
        "kinto": [sample(10), sample(10), sample(10)],
    }
}


def test_ratios_are_taken_within_a_round() -> None:
    found = ratios(MEASURED["get"], "polystow", "webdis")
    assert found == Spread(median=1.2, least=1.0, most=3.0)


def test_a_system_without_a_measurement_has_no_ratio() -> None:
    assert ratios(MEASURED["get"], "polystow", "aiohttp") is None


def test_the_tables_have_ratios_rates_latencies_and_cpu() -> None:
    printed = tables(MEASURED)
    for expected in ("1.20 (1.00 to 3.00)", "10 (6 to 30)", "1.00 / 2.00", "10.0 + 5.0"):
        assert expected in printed


def test_goals_are_shown_beside_the_measured_values() -> None:
    found = {(each.what, each.goal): (each.measured, each.kept) for each in verdicts(MEASURED)}
    assert found == {
        ("requests per second x webdis", 1.0): (1.2, True),
        ("requests per second x kinto", 20): (10.0, False),
        ("p99 x webdis", 2.0): (1.0, True),
    }


def test_the_picture_is_drawn_and_the_same_figures_draw_the_same(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        draw(MEASURED, tmp_path / name, "note")
    assert (tmp_path / "one.svg").read_text() == (tmp_path / "two.svg").read_text()
    assert "GET, 125 B" in (tmp_path / "one.svg").read_text()


def test_a_system_is_reported_by_its_medians() -> None:
    assert summary(MEASURED["get"]["polystow"])["rate"] == 100


@pytest.mark.parametrize("wrong", [sample(10, refused=1), sample(10, broken=1), sample(0)])
def test_one_wrong_answer_ends_the_run(wrong: Sample) -> None:
    with pytest.raises(Wrong, match="some: get"):
        check("some", "get", wrong)


def test_a_measurement_of_missing_documents_accepts_only_404() -> None:
    check("some", "missing", sample(10, refused=10), missing=True)
    with pytest.raises(Wrong):
        check("some", "missing", sample(10, refused=9), missing=True)


class Counted(System):
    """Records its turns instead of measuring anything."""

    about = ""
    turns: list[str]

    def start(self, stack: ExitStack) -> None:
        raise AssertionError("it is not started")

    def request(self, kind: Kind, place: str, size: int) -> Request | None:
        return Request("GET", "/KEY")

    def measure(self, workload: Workload, seconds: int, turn: int) -> Sample:
        self.turns.append(f"{self.name}{turn}")
        return sample(10)


class First(Counted):
    name = "a"


class Second(Counted):
    name = "b"


def test_systems_take_turns(tmp_path: Path) -> None:
    systems = [First(HERE, tmp_path), Second(HERE, tmp_path)]
    Counted.turns = []
    measure(systems, GET, 2, 1, lambda _: None)
    assert Counted.turns == ["a0", "b0", "a1", "b1"]


def test_an_order_for_wrk_is_written_as_lua_with_any_bytes() -> None:
    body = bytes(range(256))
    text = literal({"body": body, "parts": [1, 'a"b\\']})
    assert text.isascii()
    assert text.isprintable()
    assert '["parts"] = {1, "a\\034b\\092"}' in text
    assert "\\000\\001" in text
    assert Order("same", [(100, Request("GET", "/KEY"))], 1).text().startswith("return {")


def test_every_workload_has_a_unique_name_that_the_service_knows(tmp_path: Path) -> None:
    assert len(BY_NAME) == len(WORKLOADS)
    subject = FastPath(HERE, tmp_path)
    assert all(subject.knows(workload) for workload in WORKLOADS)


def test_every_system_has_a_unique_name() -> None:
    assert len({each.name for each in SYSTEMS}) == len(SYSTEMS)


@pytest.fixture(params=[FastPath, CacheOff, Limit, Nginx, Bare])
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[System]:
    # Not below tmp_path alone: the core is any, since these tests measure nothing.
    made: System = request.param(HERE_ANY, tmp_path)
    with ExitStack() as stack:
        made.start(stack)
        yield made


HERE_ANY = placement()


def test_each_system_answers_each_kind_of_request_correctly(system: System) -> None:
    few = [
        replace(each, keys=60, main=True, cached=True)
        for each in (GET, PUT, EXPIRING, NEW, PATCH, LIST, MISSING, MIX, EVEN, SKEWED, ONCE)
    ]
    asyncio.run(prepare(system, few))


def test_a_system_with_wrong_answers_is_not_measured(tmp_path: Path) -> None:
    class Liar(Bare):
        name = "liar"

        def request(self, kind: Kind, place: str, size: int) -> Request | None:
            return Request("GET", f"/{size + 1}/KEY") if kind == "get" else None

    with ExitStack() as stack:
        liar = Liar(HERE_ANY, tmp_path)
        liar.start(stack)
        with pytest.raises(Wrong, match="liar: get"):
            asyncio.run(prepare(liar, [GET]))


@pytest.mark.parametrize("listed", [False, True])
def test_the_parts_of_a_record_in_memory_add_up(tmp_path: Path, listed: bool) -> None:
    with RedisServer(tmp_path) as server:
        found = memory.weighed(server, 125, 200, memory.LIFETIME, listed=listed)
    assert sum(found["bytes"].values()) == pytest.approx(found["total"], abs=1)
    there = {part for part, size in found["bytes"].items() if size > 0} - {"tables"}
    assert there == {"record", "created", "size", "expiry"} | ({"updated", "name"} if listed else set())
    assert json.dumps(found)


def costs(**subject: float) -> dict[str, Any]:
    """Return a run in which bare aiohttp takes 20 us, the service the given time, and Redis 5 us."""
    bare = {"cpu_us": {"server": 20.0}}
    found = {
        name: {"polystow": {"cpu_us": {"server": us, "redis": 5.0}}, "aiohttp": bare} for name, us in subject.items()
    }
    return {"operations": {name: {"systems": systems} for name, systems in found.items()}}


def test_a_request_with_more_cpu_time_than_before_is_reported() -> None:
    grown = against.grown(costs(get=10.0, put=25.0, new=9.0), costs(get=9.5, put=20.0))
    assert [line.partition(":")[0] for line in grown] == ["put"]
    assert "+20%" in grown[0]


def test_a_slower_machine_is_not_reported_as_a_slower_service() -> None:
    slow = costs(get=10.0)
    for system in slow["operations"]["get"]["systems"].values():
        system["cpu_us"] = {name: 3 * us for name, us in system["cpu_us"].items()}
    assert against.grown(slow, costs(get=10.0)) == []


def test_runs_without_a_figure_in_common_are_not_compared() -> None:
    with pytest.raises(ValueError, match="none of these figures"):
        against.grown(costs(get=10.0), costs(put=10.0))


def test_a_file_without_figures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "memory.json").write_text('{"memory": []}')
    with pytest.raises(ValueError, match="has no figures"):
        against.read(tmp_path / "memory.json")
