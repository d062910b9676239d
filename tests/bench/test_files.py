"""Tests the benchmark of files: its verdict, and a second of it."""

import subprocess
import sys
from pathlib import Path

from bench.files import figures, verdict
from tests.running import ROOT

MEBIBYTE = 1024 * 1024


def found(**more: object) -> dict[str, object]:
    return {
        "times": 2.9,
        "files": 10,
        "seconds": 1.0,
        "growth_bytes": 30 * MEBIBYTE,
        "held_too_long": [],
    } | more


def test_the_verdict_requires_every_bound() -> None:
    assert verdict([found()])[0]
    for fault in ({"times": 3.1}, {"files": 0}, {"growth_bytes": 121 * MEBIBYTE}, {"held_too_long": ["SET: 6 us"]}):
        assert not verdict([found(**fault)])[0], fault


def test_over_several_rounds_the_median_counts_and_each_script_must_be_fast() -> None:
    assert verdict([found(), found(times=9.0), found()])[0]
    assert not verdict([found(), found(), found(held_too_long=["SET: 6000 us"])])[0]


def test_percentiles_are_in_milliseconds() -> None:
    assert figures([n / 1000 for n in range(1, 1000)]) == {"p50": 500.0, "p99": 990.0}


def test_a_short_run_moves_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.files", "--rounds", "1", "--seconds", "1", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "files up and down in 1 s" in done.stdout, done.stderr
    assert not done.stdout.split("\n\n")[1].startswith("0 files")
    assert (tmp_path / "files.json").is_file()
