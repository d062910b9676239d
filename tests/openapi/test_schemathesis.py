"""Tests that every dialect behaves as its OpenAPI document says: schemathesis runs all of its checks.

The requests are generated from the document and from `SEED`. For more and for other requests:
`make test-long ARGS='tests/openapi --examples 1000 --seed 7'`.
`tests/dialects/NAME/schemathesis.toml` has a credential of the dialect, and what OpenAPI cannot say.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.api.dialect import Dialect
from service.dialects import discover
from service.openapi.document import document
from tests.lengths import either
from tests.openapi.warm import schemathesis
from tests.running import ROOT, Running, environment, polystow

# The long form also sends each value at a limit of the document (`coverage`), which is most of all requests.
PHASES = either({"examples", "fuzzing", "stateful"}, {"examples", "coverage", "fuzzing", "stateful"})

every_dialect = pytest.mark.parametrize("dialect", discover(), ids=lambda dialect: dialect.name)


@pytest.fixture(scope="module")
def target() -> Iterator[Running]:
    """A service that no other test uses."""
    with Running() as running:
        yield running.wait_ready()


def checked(running: Running, dialect: Dialect, where: str | Path, scratch: Path, *options: str) -> dict[str, Any]:
    """The report of a run of schemathesis over a document that is found at a URL or in a file."""
    report = scratch / "report.json"
    config = ROOT / "tests" / "dialects" / dialect.name / "schemathesis.toml"
    arguments = [
        "--config-file",
        str(config),
        "run",
        str(where),
        "--url",
        running.url,
        "--checks",
        "all",
        "--generation-database",
        "none",
        "--report",
        "json",
        "--report-json-path",
        str(report),
        *options,
    ]
    print(schemathesis(arguments, environment({}) | {"PYTHONPATH": str(ROOT)}, scratch))
    found: dict[str, Any] = json.loads(report.read_text())
    return found


@every_dialect
@pytest.mark.long
@pytest.mark.timeout(0)  # as long as what `--examples` asks for takes
def test_schemathesis_finds_nothing(
    dialect: Dialect, target: Running, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    examples = pytestconfig.getoption("--examples") or either(3, 40)
    seed = str(pytestconfig.getoption("--seed"))
    report = checked(
        target,
        dialect,
        f"{target.url}/openapi/{dialect.name}.json",
        tmp_path,
        "--max-examples",
        str(examples),
        "--seed",
        seed,
        "--phases",
        ",".join(PHASES),
    )
    assert (report["failures"], report["errors"]) == ([], [])
    assert report["complete"]
    assert {name for name, phase in report["phases"].items() if phase["status"] == "success"} == PHASES
    assert {phase["status"] for phase in report["phases"].values()} <= {"success", "skip"}
    assert report["operations"]["tested"] == len(dialect.routes)
    assert report["test_cases"]["generated"] > examples * len(dialect.routes)
    assert not target.log.count("a request failed")


def test_after_schemathesis_fsck_finds_nothing(target: Running) -> None:
    examined = polystow("fsck", "--data-dir", str(target.data_dir))
    assert examined.returncode == 0, examined.stdout


@every_dialect
def test_schemathesis_finds_a_wrong_document(dialect: Dialect, target: Running, tmp_path: Path) -> None:
    """Schemathesis must report a status that is not in the document. So finding nothing above means something."""
    wrong = document(dialect)
    for path in wrong["paths"].values():
        for operation in path.values():
            operation["responses"] = {"299": {"description": "none"}}
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    report = checked(
        target, dialect, tmp_path / "wrong.json", tmp_path, "--phases", "fuzzing", "--max-examples", "1", "--seed", "1"
    )
    found = {failure["type"]: failure["operations"] for failure in report["failures"]}
    assert len(found["UndefinedStatusCode"]) == len(dialect.routes)
