"""Starts the programs that are measured, on the cores that they are given, and reads what they used.

Invariant: a Child that was left with `with` or `stop` has ended, and so have its children; its files are the caller's.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parent.parent
START_SECONDS = 60.0
STOP_SECONDS = 20.0
SYSTEM_PROGRAMS = "/usr/local/sbin:/usr/sbin:/sbin"
TICKS = os.sysconf("SC_CLK_TCK")


class Unusable(Exception):
    """A program that is needed is not here, or does not start; says which and why."""


class Child:
    """One program in a process group of its own, started in `directory`.

    `cores` is a list as taskset reads it ("0", "0,1"); "" is any.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        cores: str = "",
        environment: Mapping[str, str] | None = None,
        directory: Path = ROOT,
    ) -> None:
        self.command = [program(command[0]), *command[1:]]
        self.log = log
        pinned = ["taskset", "-c", cores, *self.command] if cores else self.command
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                pinned,
                cwd=directory,
                env=dict(environment) if environment is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def until(self, ready: Callable[[], bool]) -> None:
        """Wait until it is ready. Raises Unusable, with its log, when it ends or takes too long; it is stopped then."""
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                said = self.log.read_text(errors="replace")[-2000:]
                raise Unusable(f"{Path(self.command[0]).name} does not start:\n{said}")
            time.sleep(0.02)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for whoever is left after a while."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def program(name: str) -> str:
    """The path of a program, also of one that only root has on its PATH. Raises Unusable."""
    if (path := shutil.which(name) or shutil.which(name, path=SYSTEM_PROGRAMS)) is None:
        raise Unusable(f"{name} is needed and not installed; bench/README.md names the packages")
    return path


def said(*command: str) -> str:
    """What a short command prints, on whichever stream, and whatever its status."""
    run = subprocess.run([program(command[0]), *command[1:]], capture_output=True, text=True, timeout=60)
    return (run.stdout + run.stderr).strip()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def children(pid: int) -> list[int]:
    """The processes that a process started, and theirs."""
    try:
        found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return found + [grandchild for child in found for grandchild in children(child)]


def cpu_seconds(pids: Sequence[int]) -> float:
    """What these processes have used, in user and kernel mode, all threads: in steps of a tick, 10 ms."""
    used = 0
    for pid in pids:
        # proc(5): the name, in parentheses, may hold anything; utime and stime are fields 14 and 15 of the line.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used += int(fields[11]) + int(fields[12])
    return used / TICKS


def resident_bytes(pid: int) -> int:
    """The memory of a process that is in RAM (VmRSS)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise Unusable(f"process {pid} has ended")
