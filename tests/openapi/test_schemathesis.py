"""Every dialect does what its OpenAPI document says, whatever is sent: schemathesis runs all its checks.

What it sends is made from the document and from `SEED`; more of it: `make test ARGS='tests/openapi --examples 1000'`.
`tests/dialects/NAME/schemathesis.toml` has the dialect's credential, and what OpenAPI cannot say, with the reason.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.dialect import Dialect
from service.dialects import discover
from tests.running import ROOT, Running, polystow

DIALECTS = ROOT / "tests" / "dialects"
SEED = 20_261_122
SUMMARY = re.compile(r"Test Phases:\n  ✅ Examples\n  ✅ Coverage\n  ✅ Fuzzing\n  ✅ Stateful\n.*^Seed: ", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("dialect", discover(), ids=lambda dialect: dialect.name)
def test_schemathesis_finds_nothing(
    dialect: Dialect, serve: Callable[..., Running], tmp_path: Path, examples: int
) -> None:
    running = serve()
    config = DIALECTS / dialect.name / "schemathesis.toml"
    ended = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "--config-file", config, "run",
            f"{running.url}/openapi/{dialect.name}.json", "--checks", "all", "--seed", str(SEED),
            "--max-examples", str(examples), "--generation-database", "none", "--no-color",
        ],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    print(ended.stdout)
