"""Tests `make bench` as users run it: its service, access document, users of all dialects, and exit status."""

import re
import subprocess
import sys

from service.dialects import discover
from tests.running import ROOT, environment

# For each dialect requests that its users make often.
OFTEN = {
    "ainoflow": ("GET", "PUT", "PUT, to fill", "GET changes"),
    "auravant": ("storage GET", "storage PUT"),
    "avaamo": ("set_storage", "list, one"),
    "genesys": ("genesys: GET a key", "genesys: POST"),
}


def test_make_bench_succeeds_with_users_of_every_dialect() -> None:
    few = ["--run-time", "3s", "--users", "20", "--think", "0.05", "--documents", "20", "--max-p99", "60000"]
    command = [sys.executable, "-m", "bench.short", *few]
    pipe, same = subprocess.PIPE, subprocess.STDOUT
    done = subprocess.run(command, cwd=ROOT, env=environment({}), stdout=pipe, stderr=same, text=True, timeout=100)
    assert done.returncode == 0, done.stdout
    assert {dialect.name for dialect in discover()} == OFTEN.keys()
    for name in sum(OFTEN.values(), ()):
        assert re.search(rf"^\S+ +{re.escape(name)} +[1-9]\d* +0\(0\.00%\)", done.stdout, re.MULTILINE), done.stdout


def test_the_makefile_runs_this_command() -> None:
    lines = (ROOT / "Makefile").read_text().partition("\nbench: ")[2].splitlines()
    assert lines[1].strip() == "$(BIN)/python -m bench.short $(ARGS)"
