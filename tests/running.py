"""The service as its users run it: a real process with a Redis of its own, on reserved ports.

Invariant: `close` leaves no process and no file behind, whatever a test has done to the service.
"""

import asyncio
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.storage.errors import Refusal
from tests.forking import Forked
from tests.ports import Reserved

ROOT = Path(__file__).parent.parent
ACCESS = Path(__file__).with_name("access.yaml")
ADMIN_TOKEN = "test-admin-token"
SIGNING_KEY = "test-signing-key-0123456789abcdef"
START_SECONDS = 60.0  # much longer than a start takes, so that a slow machine does not fail a test


def environment(settings: dict[str, object]) -> dict[str, str]:
    """Return the environment of this process with these settings of the service and no others.

    A run starts hundreds of services, so two settings make a start cheap. Compiled modules are kept. The certificate
    authorities of this machine are not read: aiohttp would read them, for its client, in 40 ms per process.
    """
    left_out = ("POLYSTOW_", "PYTHONDONTWRITEBYTECODE")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    given = {"signing_key": SIGNING_KEY} | settings
    named = {f"POLYSTOW_{name.upper()}": str(value) for name, value in given.items()}
    return inherited | {"SSL_CERT_FILE": os.devnull} | named


def polystow(
    *arguments: str, stdin: bytes = b"", timeout: float | None = START_SECONDS, **settings: object
) -> subprocess.CompletedProcess[str]:
    """Run one command of `polystow` to its end, in a forked process (tests/forking.py)."""
    with tempfile.TemporaryFile() as into, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        into.write(stdin)
        into.seek(0)
        process = Forked(arguments, environment(settings), into, out, err)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        said = [_text(stream) for stream in (out, err)]
    return subprocess.CompletedProcess([*arguments], status, *said)


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode()


def command(*arguments: str, stdin: bytes = b"", **settings: object) -> subprocess.CompletedProcess[str]:
    """Run one command of `polystow` to its end, in a process of its own, as users do."""
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=ROOT,
        env=environment(settings),
        input=stdin.decode(),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )


def eventually(check: Callable[[], Any], within: float = START_SECONDS) -> Any:
    """Call `check` until its result is true, and return the result. Fail if that takes too long."""
    deadline = time.monotonic() + within
    while True:
        answer = check()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {within:g} s"
        time.sleep(0.02)


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """Stop a process during the block (SIGSTOP)."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def soon(check: Callable[[], Awaitable[Any]]) -> Any:
    """Await `check` until its result is true, and return the result. Fail if that takes too long."""
    pause = 0.001
    async with asyncio.timeout(START_SECONDS):
        while True:
            answer = await check()
            if answer:
                return answer
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.02)


async def while_it_lives(seconds: float, act: Callable[[float], Awaitable[Any]]) -> Any:
    """Return the result of `act(seconds)`, which makes things that expire after so long, and uses them.

    If it fails after these seconds have passed, a slow machine may be the reason: repeat it with a longer life.
    """
    while True:
        begun = time.monotonic()
        try:
            return await act(seconds)
        except (AssertionError, Refusal):
            if time.monotonic() - begun < seconds:
                raise
        seconds *= 4


class Everywhere(redis.RedisCluster):
    """A client of a cluster whose `keys` returns the keys of all primaries; redis-py asks only one."""

    def keys(self, pattern: str = "*", **_: Any) -> Any:  # type: ignore[override]
        found = [self.execute_command("KEYS", pattern, target_nodes=node) for node in self.get_primaries()]  # type: ignore[no-untyped-call]
        return [key for keys in found for key in keys]


def _is_worker(process: Path) -> bool:
    """Return True if a process is a worker: one that users have, or a forked one (tests/forking.py)."""
    return b"\0worker\0" in (process / "cmdline").read_bytes() or (process / "comm").read_text().startswith("worker")


class Running:
    """One `polystow serve`, of this checkout or of an installed `program`, which runs outside of the checkout.

    `forked`: start it by a fork (tests/forking.py), which takes a fifth of the time, instead of a new process.
    """

    def __init__(
        self,
        module: str = "service",
        arguments: tuple[str, ...] = ("serve",),
        *,
        forked: bool = True,
        program: Path | None = None,
        terminal: int | None = None,
        **settings: object,
    ) -> None:
        # Not pytest's tmp_path: the path of a Unix socket must have at most about 100 bytes.
        self._scratch = Path(tempfile.mkdtemp(prefix="polystow-"))
        self.data_dir = Path(str(settings.pop("data_dir", self._scratch / "data")))
        self.admin_token = ADMIN_TOKEN
        self._terminal = terminal  # file descriptor of the terminal that it is started in
        self._forked = forked and module == "service" and program is None and terminal is None
        self._arguments = arguments
        self._command = [str(program), *arguments] if program else [sys.executable, "-m", module, *arguments]
        self.directory = self._scratch / "work" if program else ROOT
        self.directory.mkdir(exist_ok=True)
        self._ports = {name: Reserved() for name in ("port", "ops_port") if name not in settings}
        self._settings: dict[str, object] = {
            "data_dir": self.data_dir,
            "admin_token": ADMIN_TOKEN,
            "access": ACCESS,
            "drain_seconds": 0,
            **{name: reserved.port for name, reserved in self._ports.items()},
        } | settings
        self.url = self.ops_url = ""
        self.process = self._spawn()

    def _spawn(self) -> "subprocess.Popen[bytes] | Forked":
        with (self._scratch / "out").open("wb") as out, (self._scratch / "log").open("ab") as log:
            if self._forked:
                with open(os.devnull, "rb") as nothing:
                    return Forked(self._arguments, environment(self._settings), nothing, out, log)
            return subprocess.Popen(
                self._command,
                cwd=self.directory,
                env=environment(self._settings),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,
                preexec_fn=partial(fcntl.ioctl, self._terminal, termios.TIOCSCTTY, 0) if self._terminal else None,
            )

    def wait_ready(self) -> "Running":
        """Wait until it prints that it listens. Fail with its log if it ends instead."""

        def listening() -> re.Match[str] | None:
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.log}"
            return re.search(r"listening on (\S+) \(operations: (\S+)\)\n", self.output)

        self.url, self.ops_url = cast("re.Match[str]", eventually(listening)).groups()
        return self

    @property
    def output(self) -> str:
        """The text that it printed for people."""
        return (self._scratch / "out").read_text()

    @property
    def log(self) -> str:
        """The lines that it has logged since its first start."""
        return (self._scratch / "log").read_text()

    @property
    def redis(self) -> "redis.Redis":
        """Return a client of its embedded Redis, or of the cluster that it was given. The caller closes the client."""
        scheme, _, hosts = str(self._settings.get("redis_url", "")).partition("://")
        if scheme == "redis+cluster":
            # The cluster's client has the methods of a client, but not its type.
            return cast("redis.Redis", Everywhere.from_url("redis://" + hosts.partition(",")[0]))
        return redis.Redis(unix_socket_path=str(self.data_dir / "redis.sock"), retry=Retry(NoBackoff(), 0))

    def redis_pid(self) -> int:
        """The process id of its embedded Redis. Raises redis.ConnectionError while no Redis runs."""
        with self.redis as client:
            return int(cast("dict[str, Any]", client.info("server"))["process_id"])

    def kill_redis(self) -> None:
        """Kill its embedded Redis with SIGKILL, and wait until the next one answers."""
        before = self.redis_pid()
        os.kill(before, signal.SIGKILL)

        def replaced() -> bool:
            try:
                return self.redis_pid() != before
            except redis.RedisError:
                return False

        eventually(replaced)

    def worker_pids(self) -> list[int]:
        """The process ids of its workers, in the order of their start."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        named = {
            int(pid): [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("comm", "cmdline")] for pid in children
        }
        return [pid for pid, names in named.items() if names[0].startswith(b"worker") or b"\0worker\0" in names[1]]

    def send(self, number: int) -> None:
        """Send a signal to the parent process only."""
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send SIGTERM, wait for its end, and return its exit status."""
        if self.process.poll() is None:
            self.send(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end, and return its exit status."""
        return self.process.wait(START_SECONDS)

    def restart(self) -> None:
        """Stop it, and start it again on the same ports and data."""
        assert self.stop() == 0, self.log
        self.process = self._spawn()
        self.wait_ready()

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, by SIGKILL if it does not stop, and remove its files."""
        try:
            self.stop(signal.SIGINT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for reserved in self._ports.values():
            reserved.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
