"""Tests the operations of all dialects: a real service answers each correctly, and wrk sends the intended requests."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from bench.compare.__main__ import main
from bench.compare.dialect_operations import OPERATIONS, OPERATIONS_BY_NAME, PEERS, Operation
from bench.compare.dialects import check, chosen, fill, tabled, turn
from bench.compare.loading import Wrong
from bench.compare.rounds import Samples
from bench.compare.rounds import check as check_sample
from bench.compare.systems import select
from bench.compare.systems.polystow import Before, FastPath
from bench.compare.workloads import BY_NAME
from bench.compare.wrk import Sample
from bench.placement import placement
from bench.processes import ROOT
from service.dialects import discover

FEW = 60
SAMPLE = Sample(100, 1.0, 1.0, 2.0, 0, 0, {"server": 10.0, "redis": 5.0})


def few(name: str) -> Operation:
    operation = OPERATIONS_BY_NAME[name]
    return replace(operation, keys=min(operation.keys, FEW))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastPath]:
    found = FastPath(placement(), tmp_path_factory.mktemp("bench"))
    with ExitStack() as stack:
        found.start(stack)
        yield found


@pytest.mark.parametrize("name", OPERATIONS_BY_NAME)
def test_the_service_answers_each_operation_correctly(system: FastPath, name: str) -> None:
    operation = few(name)
    names = asyncio.run(fill(system, [operation]))  # checks one answer, status and body
    # It can be done again and again, as wrk does it.
    asyncio.run(check(system, [operation], names))


@pytest.mark.parametrize("wrong", [{"status": 299}, {"right": lambda body: False}])
def test_a_wrong_status_or_body_ends_the_run(system: FastPath, wrong: dict[str, object]) -> None:
    operation = replace(few("ainoflow-get"), **wrong)  # type: ignore[arg-type]
    with pytest.raises(Wrong, match="polystow: ainoflow-get was answered 200"):
        asyncio.run(fill(system, [operation]))


@pytest.mark.parametrize("name", ["ainoflow-304", "ainoflow-post", "auravant-get", "avaamo-one", "genesys-one"])
def test_wrk_gets_an_answer_for_every_key(system: FastPath, name: str) -> None:
    operation = few(name)
    names = asyncio.run(fill(system, [operation]))
    check_sample(system.name, name, turn(system, operation, {system.name: names}, 1)(0))


def test_wrk_puts_the_key_into_a_body(system: FastPath) -> None:
    """Every key that is read was stored by wrk, keys of one digit and of two."""
    keys = 12
    write = replace(OPERATIONS_BY_NAME["auravant-put"], keys=keys, fill=())
    body = write.request.body.replace(b'"KEY"', b'"by_wrk_KEY"')
    write = replace(write, request=replace(write.request, body=body))
    check_sample(system.name, "write", turn(system, write, {system.name: {}}, 1)(0))
    read = OPERATIONS_BY_NAME["auravant-get"]
    asked = [replace(read.request, body=b'{"keys":["by_wrk_%d"]}' % number) for number in range(keys)]
    asyncio.run(check(system, [replace(read, request=each) for each in asked], {}))


def test_the_service_of_the_given_checkout_is_started(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for folder in ("service", "lua"):
        shutil.copytree(ROOT / folder, checkout / folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (checkout / "service" / "__init__.py").open("a") as module:
        module.write(f"\nopen({str(tmp_path / 'ran')!r}, 'a').write(__file__ + '\\n')\n")
    today, before = select(["polystow"], checkout, placement(), tmp_path)
    assert [today.name, before.name] == ["polystow", "before"]
    assert isinstance(before, Before)
    with ExitStack() as stack:
        before.start(stack)
        asyncio.run(fill(before, [few("ainoflow-get")]))
    assert set((tmp_path / "ran").read_text().split()) == {str(checkout / "service" / "__init__.py")}
    assert before.version() == ""


def test_a_directory_without_a_service_is_refused_as_a_checkout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--before", str(tmp_path)])
    assert ended.value.code == 2
    assert "has no service/__main__.py" in capsys.readouterr().err


def test_every_dialect_has_operations_with_unique_names() -> None:
    assert len(OPERATIONS_BY_NAME) == len(OPERATIONS)
    assert not OPERATIONS_BY_NAME.keys() & BY_NAME.keys()
    dialects = {dialect.name for dialect in discover()}
    for some in (OPERATIONS, chosen([], quick=True)):
        assert {each.name.partition("-")[0] for each in some} == dialects


def test_a_write_is_compared_with_a_write_of_its_kind() -> None:
    peers = {each.name: each.peer.name for each in OPERATIONS if each.peer.name != "get"}
    assert peers["ainoflow-put-expiring"] == "put-expiring"
    assert peers["ainoflow-put-10k"] == "put-10k"
    assert set(peers.values()) | {"get"} == {each.name for each in PEERS}


def test_the_report_has_the_ratios_the_goal_and_the_time_of_the_worker() -> None:
    twice, half = replace(SAMPLE, requests=200), replace(SAMPLE, requests=50)
    samples: Samples = {"polystow": [SAMPLE], "before": [half], "nginx+Lua": [twice], "aiohttp": [SAMPLE]}
    printed = tabled([OPERATIONS_BY_NAME["avaamo-set"]], {"avaamo-set": samples})
    row = [cell.strip() for cell in printed.splitlines()[-1].split("|")[2:-1]]
    assert row == ["100", "0.50", "0.55", "1.00", "2.00", "10.0", "5.0"]
    del samples["before"]
    assert "before" not in tabled([OPERATIONS_BY_NAME["avaamo-set"]], {"avaamo-set": samples})
