"""Tests the load test as its users run it: Locust runs for a few seconds, and its exit status is checked."""

import re
import subprocess
import sys
from pathlib import Path

from service.dialects import discover
from tests.running import ACCESS, ROOT, Running, environment

# Users wait between two requests, because these tests need some requests of each kind, and not as many as possible.
FEW = ("--users", "5", "--documents", "20", "--sizes", "125,1024", "--think", "0.01")
NAMES = ("GET", "GET meta", "GET page of 20", "PUT", "PATCH", "POST", "PUT, to fill")


def locust(service: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        "bench/locustfile.py",
        "--headless",
        "--only-summary",
        "--host",
        service.url,
        "--access",
        str(ACCESS),
        *FEW,
        *arguments,
    ]
    pipe, same = subprocess.PIPE, subprocess.STDOUT
    return subprocess.run(command, cwd=ROOT, env=environment({}), stdout=pipe, stderr=same, text=True, timeout=60)


def sending(service: Running, seconds: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Locust for so many seconds; if a busy machine sent no request in them, for twenty more."""
    done = locust(service, "--run-time", f"{seconds}s", *arguments)
    if "failed: no request was made" in done.stdout:
        done = locust(service, "--run-time", f"{seconds + 20}s", *arguments)
    return done


def test_a_run_without_a_failure_succeeds_and_sends_every_kind_of_request(service: Running) -> None:
    for seconds in (3, 40):  # a busy machine does not come to all of them in three
        done = locust(service, "--run-time", f"{seconds}s", "--max-p99", "60000")
        assert done.returncode == 0, done.stdout
        if all(re.search(rf"^\S+ +{name} +[1-9]\d* +0\(0\.00%\)", done.stdout, re.MULTILINE) for name in NAMES):
            return
    raise AssertionError(done.stdout)


def test_failed_requests_fail_the_run(service: Running) -> None:
    done = sending(service, 1, "--credentials", "unknown")
    assert done.returncode == 1
    assert "requests failed" in done.stdout


def test_failures_within_the_allowed_share_do_not_fail_the_run(service: Running) -> None:
    done = sending(service, 1, "--credentials", "unknown", "--max-failures", "1", "--max-p99", "60000")
    assert done.returncode == 0, done.stdout


def test_a_slow_tail_fails_the_run(service: Running) -> None:
    done = sending(service, 1, "--max-p99", "0.0001")
    assert done.returncode == 1
    assert "the 99th percentile is" in done.stdout


def test_a_run_without_any_request_fails(service: Running) -> None:
    done = locust(service, "--run-time", "1s", "--access", "")
    assert done.returncode == 1
    assert "no API key" in done.stdout


def test_the_results_of_master_and_workers_are_judged_together(service: Running) -> None:
    done = sending(service, 2, "--processes", "2", "--max-p99", "60000")
    assert done.returncode == 0, done.stdout
    done = sending(service, 2, "--processes", "2", "--credentials", "unknown")
    assert done.returncode == 1, done.stdout


def test_every_dialect_has_its_users() -> None:
    users = {path.stem for path in (Path(ROOT) / "bench" / "users").glob("*.py")}
    assert {dialect.name for dialect in discover()} <= users
