"""The embedded Redis: a child process whose data and socket are in one directory.

Invariant: at most one Redis writes the files of a data directory. Redis does not lock them, so the parent holds two
locks (flock). `lock` belongs to the parent: a second service finds it taken and does not start. `redis.lock` is
inherited by Redis and lasts until both processes have ended, in any way, so that no later start opens files that an
earlier Redis is still closing.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import quote

from service.redis.aof import USED, missing
from service.redis.binary import Unusable, find_server
from service.redis.gaps import Damaged, close_gaps
from service.redis.rewriting import ask, keep_rewritten
from service.redis.syncing import keep_synced
from service.redis.unfinished import cut_unfinished

T = TypeVar("T")

log = logging.getLogger(__name__)

MAX_SOCKET_PATH = 103  # bytes; sun_path holds 104 on BSD and macOS, 108 on Linux, with the closing NUL
FIRST_BACKOFF_SECONDS = 0.1  # it doubles
MAX_BACKOFF_SECONDS = 5.0
STOP_SECONDS = 30.0  # time for Redis to write its files after SIGTERM
POLL_SECONDS = 0.02
TAIL_BYTES = 4096
BAD_FILE = "Bad file format reading the append only file"  # logged by Redis and Valkey before they end

# This program runs in the child and then becomes Redis. It asks the kernel to send SIGTERM, at which Redis saves, when
# the parent dies; checks that the parent has not died already; and hides new files from other users. 1 is
# PR_SET_PDEATHSIG, which takes effect when the parent's *thread* ends, so the child must be started by the main thread.
WRAPPER = """
import ctypes, os, signal, sys
prctl = getattr(ctypes.CDLL(None), "prctl", None)
prctl and prctl(1, signal.SIGTERM)
os.getppid() == int(sys.argv[1]) or sys.exit("the parent is gone")
os.umask(0o077)
os.execv(sys.argv[2], sys.argv[2:])
"""


def socket_of(data_dir: Path) -> Path:
    return data_dir.resolve() / "redis.sock"


def running(data_dir: Path) -> str | None:
    """Return the URL of the Redis that is running on this directory, or None. It may still be loading its files."""
    path = socket_of(data_dir)
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except TimeoutError:
            pass  # a Redis listens, but is too busy to accept
        except OSError:
            return None
    return f"unix://{quote(str(path))}"


class Embedded:
    """The embedded Redis (see the module). `server` names its program; without it, `binary.find_server` searches."""

    def __init__(
        self,
        data_dir: Path,
        *,
        server: str | Path | None = None,
        appendfsync: Literal["everysec", "always"] = "everysec",
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.restarts = 0
        self._given = server
        self._appendfsync = appendfsync
        self._binary = Path()
        self._locks: list[int] = []
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._beside: list[asyncio.Task[None]] = []  # tasks that sync and rewrite the append-only file
        self._stopping = asyncio.Event()
        self._log_start = 0  # offset in the log at which the present child began to write

    @property
    def url(self) -> str:
        return f"unix://{quote(str(socket_of(self.data_dir)))}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self, within: float = 600.0) -> None:
        """Start Redis and wait at most `within` seconds until it has loaded its files and answers.

        Must be called from the main thread. If it raises Unusable, with the last lines of Redis's log, no Redis runs.
        """
        self._stopping.clear()
        self._binary = find_server(self._given)
        self._prepare()
        try:
            await self._take_locks()
            await self._spawn()
            try:
                await self._answering(within)
            except Unusable:
                if not await self._repaired():
                    raise
                await self._spawn()
                await self._answering(within)
        except BaseException:
            await self.stop()
            raise
        self._keeper = asyncio.create_task(self._keep_running())
        with contextlib.suppress(OSError):  # the disk may be full
            (self.data_dir / USED).touch(0o600)
        if self._appendfsync == "everysec":
            # With `always`, Redis ends when its disk is full, and leaves no gap in the file.
            watch = keep_rewritten(self.data_dir, socket_of(self.data_dir))
            self._beside = [asyncio.create_task(each) for each in (keep_synced(self.data_dir), watch)]

    async def stop(self) -> None:
        """Let Redis save and end; kill it if that takes longer than STOP_SECONDS."""
        self._stopping.set()
        while True:
            if self._process and self._process.returncode is None:
                await self._end(self._process)
            if self._keeper is None or self._keeper.done():
                break
            # The task is not cancelled: it may be starting a Redis at this moment, which would then run on alone.
            await asyncio.wait({self._keeper}, timeout=POLL_SECONDS)
        for task in self._beside:
            task.cancel()
        while self._locks:
            os.close(self._locks.pop())

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                log.error("the embedded Redis did not end within %g s and is killed", STOP_SECONDS)
                process.kill()
                await process.wait()

    def _prepare(self) -> None:
        """Create the data directory for this user only; refuse one whose data Redis would not load."""
        path = socket_of(self.data_dir)
        if len(os.fsencode(path)) > MAX_SOCKET_PATH:
            text = f"the path of the socket, {path}, is longer than the {MAX_SOCKET_PATH} bytes that systems allow"
            raise Unusable(f"{text}; choose a data directory with a shorter path")
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A mounted volume may belong to another user and a shared group; the child's umask protects the files.
            with contextlib.suppress(PermissionError):
                self.data_dir.chmod(0o700)
        except OSError as error:
            raise Unusable(f"the data directory cannot be created: {error}") from None
        if lost := missing(self.data_dir):
            raise Unusable(lost)

    async def _take_locks(self) -> None:
        """Take both locks. Refuse at once if another service runs; wait for the Redis of a service that was killed."""
        try:
            mine = locked(self.data_dir / "lock")
            if mine is None:
                owner = (self.data_dir / "lock").read_text().strip()
                raise Unusable(f"{self.data_dir} is in use by another polystow (process {owner})")
            self._locks.append(mine)
            with contextlib.suppress(OSError):  # the process id is only for people; the disk may be full
                os.ftruncate(mine, 0)
                os.write(mine, b"%d\n" % os.getpid())
            deadline = asyncio.get_running_loop().time() + STOP_SECONDS
            while (shared := locked(self.data_dir / "redis.lock")) is None:
                if asyncio.get_running_loop().time() > deadline:
                    raise Unusable(
                        f"a Redis still runs on {self.data_dir}, whose service was killed; stop that Redis, then start"
                        " again"
                    )
                await asyncio.sleep(POLL_SECONDS)
            self._locks.append(shared)
        except OSError as error:
            raise Unusable(f"the data directory cannot be used: {error}") from None

    def _arguments(self) -> list[str]:
        settings = {
            "dir": str(self.data_dir),
            "logfile": str(self.data_dir / "redis.log"),
            "daemonize": "no",
            "port": "0",
            "unixsocket": str(socket_of(self.data_dir)),
            "unixsocketperm": "700",
            "appendonly": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
            "activedefrag": "no",
            "appendfsync": "always" if self._appendfsync == "always" else "no",  # syncing.py syncs each second
            "lazyfree-lazy-expire": "yes",
            "lazyfree-lazy-server-del": "yes",
            "lazyfree-lazy-user-del": "yes",
        }
        return [part for name, value in settings.items() for part in (f"--{name}", value)]

    async def _spawn(self) -> None:
        await self._on_files(cut_unfinished)
        # Redis writes to standard error until it has read its settings; that goes to the same log.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        output = os.open(self.data_dir / "redis.log", flags, 0o600)
        try:
            self._log_start = os.fstat(output).st_size
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", WRAPPER, str(os.getpid())),
                *(str(self._binary), *self._arguments()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=self._locks[1:],
                start_new_session=True,  # Ctrl-C in a terminal reaches only the parent, which stops Redis last
            )
        finally:
            os.close(output)

    async def _answering(self, within: float) -> None:
        """Return when Redis answers PING. Raises Unusable if it ends or takes longer than `within` seconds."""
        assert self._process is not None
        try:
            async with asyncio.timeout(within):
                while not await answers(socket_of(self.data_dir)):
                    if self._process.returncode is not None:
                        raise Unusable(self._ended())
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise Unusable(
                f"the embedded Redis does not answer after {within:g} s; it logged:\n{self._tail()}"
            ) from None

    async def _repaired(self) -> bool:
        """Repair the append-only file if Redis has refused it. Return True if it was repaired.

        Raises Unusable if it cannot be repaired.
        """
        if BAD_FILE not in self._tail():
            return False
        try:
            return await self._on_files(close_gaps)
        except Damaged as damaged:
            raise Unusable(f"{self._ended()}\n{damaged}") from None
        except OSError as error:
            text = "the append-only file is damaged; its repair needs space on the disk for a copy"
            raise Unusable(f"{self._ended()}\n{text}: {error}") from None

    async def _on_files(self, work: Callable[[Path], T]) -> T:
        """Do some work on the data directory while no Redis runs."""
        working = asyncio.create_task(asyncio.to_thread(work, self.data_dir))
        try:
            return await asyncio.shield(working)
        finally:
            await asyncio.wait({working})  # also if cancelled: the locks must be held until the work is done

    def _ended(self) -> str:
        logged = self._tail() or "nothing; the disk may be full"
        return f"the embedded Redis ended at its start; it logged:\n{logged}"

    def _tail(self) -> str:
        """Return the last lines that the present child has logged."""
        with (self.data_dir / "redis.log").open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self._log_start, end - TAIL_BYTES))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-10:])

    async def _keep_running(self) -> None:
        """Start Redis again whenever it ends, until `stop` is called."""
        loop = asyncio.get_running_loop()
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            assert self._process is not None
            began = loop.time()
            status = await self._process.wait()
            if self._stopping.is_set():
                return
            log.error(
                "the embedded Redis ended with status %s and is started again; it logged:\n%s", status, self._tail()
            )
            if loop.time() - began > MAX_BACKOFF_SECONDS:
                backoff = FIRST_BACKOFF_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff)
                return
            backoff = min(backoff * 2, MAX_BACKOFF_SECONDS)
            try:
                if lost := missing(self.data_dir):
                    raise Unusable(lost)
                await self._repaired()
                await self._spawn()
                self.restarts += 1
            except (OSError, Unusable) as error:
                log.error("the embedded Redis cannot be started: %s", error)


async def answers(path: Path) -> bool:
    """Return True if the Redis at this socket answers PING and has loaded its files."""
    try:
        return (await ask(path, b"PING")).startswith((b"+PONG", b"-MISCONF"))  # MISCONF: the disk is full
    except (OSError, EOFError):
        return False


def locked(path: Path) -> int | None:
    """Open and lock a file; return None if another process holds the lock.

    The lock ends when every copy of the returned descriptor is closed.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file
