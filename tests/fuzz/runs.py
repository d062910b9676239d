"""Runs a target under atheris, and returns the result.

Atheris has wheels for Linux on x86-64 and Python before 3.14; elsewhere `COVERED` names no target.
"""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.fuzz import service_targets, targets
from tests.running import ROOT
from tests.servers import RedisProcess, binaries

LONGEST = 2048  # limit of an input, in bytes
TARGETS = targets.TARGETS | service_targets.TARGETS
COVERED = tuple(TARGETS) if find_spec("atheris") else ()


class Run(NamedTuple):
    """`runs`: inputs tried; `kept`: inputs that reached new code; `found`: the error, "" if none."""

    target: str
    runs: int
    coverage: int
    kept: int
    found: str

    def __str__(self) -> str:
        return f"{self.target}: {self.runs} runs, coverage {self.coverage}, {self.kept} inputs kept" + (
            f"\n{self.found}" if self.found else ""
        )


def run(target: str, seed: int, *, runs: int = -1, seconds: float = 0) -> Run:
    """Fuzz a target for a number of runs or seconds."""
    with TemporaryDirectory() as scratch, RedisProcess(binaries()[0][1]) as redis:
        corpus = Path(scratch, "corpus")
        corpus.mkdir()
        for number, text in enumerate(TARGETS[target].seeds):
            Path(corpus, f"seed{number}").write_bytes(text)
        longest = max(1, int(seconds)) if seconds else 0  # 0: no limit
        limits = {"runs": runs, "max_total_time": longest, "max_len": LONGEST, "timeout": 20, "seed": seed}
        options = [f"-{name}={value}" for name, value in limits.items()]
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.covered", target, *options, f"-artifact_prefix={scratch}/", str(corpus)],
            cwd=ROOT,
            env={**os.environ, service_targets.ENVIRONMENT: redis.url},
            capture_output=True,
            text=True,
            errors="replace",
        )
    said = done.stderr + done.stdout  # Python's exceptions are in stdout
    last = re.findall(r"^#(\d+)\s.*? cov: (\d+) ft: \d+ corp: (\d+)/", said, re.MULTILINE)
    count, coverage, kept = map(int, last[-1]) if last else (0, 0, 0)
    return Run(target, count, coverage, kept, said[-3000:] if done.returncode or not last else "")
