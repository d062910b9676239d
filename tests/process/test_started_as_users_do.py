"""Tests that a forked process, which other tests start, behaves like the command that users start."""

import os
import re
import signal
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.running import Running, command, eventually, polystow

ACCESS = b"ainoflow: {keys: [{id: both, key: ak-both, project: both}]}"
NOBODY = "http://127.0.0.1:1"
MIGRATION = ("migrate", "avaamo", "--from", NOBODY, "--agent", "1", "--token-env", "TOKEN")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--version",),
        ("sreve",),
        ("serve", "--workers", "many"),
        ("serve", "--access", "/nowhere"),
        ("access", "apply", "-"),
        ("fsck", "--quiet"),
        ("fsck",),
        ("doctor", "--ops-port", "none"),
        ("export", "-", "--project", "nobody"),
        ("export", "/nowhere/all.ndjson"),
        ("import", "/nowhere/all.ndjson"),
        ("copy", "--from", "redis://127.0.0.1:1", "--to", "redis://127.0.0.1:1"),
        ("verify", "genesys", "--against", NOBODY),
        MIGRATION,
    ],
    ids=" ".join,
)
def test_a_command_has_the_same_output_and_status_as_when_it_is_forked(
    service: Running, arguments: tuple[str, ...]
) -> None:
    redis_url = f"unix://{service.data_dir}/redis.sock"
    real, forked = (run(*arguments, stdin=ACCESS, redis_url=redis_url) for run in (command, polystow))
    assert (real.returncode, _timeless(real.stdout)) == (forked.returncode, _timeless(forked.stdout))
    assert _timeless(real.stderr) == _timeless(forked.stderr)


def _timeless(text: str) -> list[str]:
    """Return the lines of an output without times and random ids."""
    lines = (line.partition('"level"')[2] or line for line in text.splitlines())
    return [re.sub("[0-9a-f]{32}", "ID", line) for line in lines]


def test_a_service_replaces_its_workers_as_when_it_is_forked() -> None:
    with Running(forked=False, workers=2) as real, Running(workers=2) as forked:
        for running in (real, forked):
            assert len(running.wait_ready().worker_pids()) == 2
        for processes in (_parent, Running.worker_pids):
            print(*(_states(processes(running)) for running in (real, forked)), sep="\n")
            eventually(partial(_alike, real, forked, processes))
        for running in (real, forked):
            before = running.worker_pids()
            os.kill(before[0], signal.SIGKILL)
            eventually(partial(_replaced, running, before))
            assert running.stop() == 0


def test_a_service_that_is_killed_has_the_same_status_as_when_it_is_forked() -> None:
    with Running(forked=False) as real, Running() as forked:
        for running in (real, forked):
            running.wait_ready()
            running.process.kill()
            assert running.process.wait(60) == -signal.SIGKILL
            assert running.process.poll() == -signal.SIGKILL


def _replaced(running: Running, before: list[int]) -> bool:
    now = running.worker_pids()
    return len(now) == len(before) and before[0] not in now


def _parent(running: Running) -> list[int]:
    return [running.process.pid]


def _alike(real: Running, forked: Running, processes: Callable[[Running], list[int]]) -> bool:
    return _states(processes(real)) == _states(processes(forked))


def _states(pids: list[int]) -> list[tuple[object, ...]]:
    return [*map(_state, pids)]


def _state(pid: int) -> tuple[object, ...]:
    """Return the state of a process: numbers of sockets and event loops, signals, session, working directory."""
    process = Path(f"/proc/{pid}")
    opened = [_target(each).partition(":[") for each in (process / "fd").iterdir()]
    # A forked worker is waited for by a descriptor, another one by SIGCHLD.
    kinds = Counter(kind for kind, _, rest in opened if kind in ("socket", "anon_inode") and rest != "pidfd]")
    lines = (line.split(":\t") for line in (process / "status").read_text().splitlines())
    # glibc handles signals 32 and 33 in a process that has ever started a thread, or whose parent has.
    signals = {name: int(mask, 16) & 0x7FFF_FFFF for name, mask in lines if name in ("SigBlk", "SigIgn", "SigCgt")}
    return kinds, signals, os.getsid(pid) == pid, os.readlink(process / "cwd")


def _target(descriptor: Path) -> str:
    try:
        return os.readlink(descriptor)
    except FileNotFoundError:
        return "closed since"
