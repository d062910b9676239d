"""Measured programs: started on given cores and stopped, with the CPU time and memory that they have used.

Invariant: after `with` or `stop`, a Child and its children have ended. Its files belong to the caller.
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
from typing import IO, Self

ROOT = Path(__file__).parent.parent
START_SECONDS = 60.0
STOP_SECONDS = 20.0
SYSTEM_PROGRAMS = "/usr/local/sbin:/usr/sbin:/sbin"
TICKS = os.sysconf("SC_CLK_TCK")


class Unusable(Exception):
    """A program that is needed is missing or does not start. The text names it and the reason."""


class Child:
    """One program in a process group of its own, started in `directory`.

    `cores` is a list as taskset reads it ("0", "0,1"); "" means any core.
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
        self._cores, self._directory = cores, directory
        with log.open("ab") as out:
            self._process = self._started(dict(os.environ if environment is None else environment), out)

    def _started(self, environment: dict[str, str], out: IO[bytes]) -> "subprocess.Popen[bytes]":
        """Start the program; tests replace this method by one that starts a service faster."""
        return subprocess.Popen(
            ["taskset", "-c", self._cores, *self.command] if self._cores else self.command,
            cwd=self._directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def status(self) -> int | None:
        """Return the exit status; None while the program runs."""
        return self._process.poll()

    def until(self, ready: Callable[[], bool]) -> None:
        """Wait until the program is ready. If it ends or takes too long, stop it and raise Unusable with its log."""
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                said = self.log.read_text(errors="replace")[-2000:]
                raise Unusable(f"{Path(self.command[0]).name} does not start:\n{said}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Send SIGTERM, and after some seconds SIGKILL to the processes that are left."""
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
    """Return the path of a program, including the directories that are only on root's PATH. Raises Unusable."""
    if (path := shutil.which(name) or shutil.which(name, path=SYSTEM_PROGRAMS)) is None:
        raise Unusable(f"{name} is needed and not installed; bench/README.md names the packages")
    return path


def said(*command: str) -> str:
    """Return the output of a short command on both streams, whatever its exit status."""
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
    """Return the children of a process, and their children."""
    try:
        found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return found + [grandchild for child in found for grandchild in children(child)]


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return the CPU seconds of these processes, user and kernel mode, all threads, in steps of 10 ms."""
    used = 0
    for pid in pids:
        # proc(5): the name, in parentheses, may hold anything; utime and stime are fields 14 and 15 of the line.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used += int(fields[11]) + int(fields[12])
    return used / TICKS


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process (VmRSS)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise Unusable(f"process {pid} has ended")


def peak_bytes(pid: int) -> int:
    """Return the peak of a process's resident memory since its start or the last reset (VmHWM); 0 if it has ended."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int((status.partition("VmHWM:")[2].split() or ["0"])[0]) * 1024
