"""Starts the service by forking a process that has already imported it, which halves the time of a start.

A run of the tests starts the service hundreds of times, and half of each start is the import of modules. The fork
server imports them once and forks a child for each start. The child gets the same arguments, environment, standard
streams and session as `python -m service` would get, and runs the same `main`. A supervisor forks its workers from
itself, and a copy its export. Each process makes its event loop after the fork.

Invariant: a child ends as a process of `python -m service` would, and the fork server ends with this process.
"""

import asyncio
import atexit
import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import IO, NoReturn, Self

from service.process.workers import Worker
from service.transfer import commands

LARGEST = 1 << 20  # bytes of a request to the fork server, at most
STREAMS = 3
NO_DESCRIPTOR_FROM = 1 << 20

# The modules of all commands. Without this, each child would import those of its command.
MODULES = (
    "service.__main__",
    "service.migration.command",
    "service.operations.apply_access",
    "service.operations.doctor",
    "service.process.supervisor",
    "service.process.worker",
    "service.storage.fsck.check",
    "service.transfer.commands",
    "service.verification.command",
)


class Forked:
    """A child of the fork server, with the methods of subprocess.Popen that tests use."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str], *streams: IO[bytes]) -> None:
        """Start `polystow` with these arguments, and standard input, output and error."""
        self.args = list(arguments)
        self.returncode: int | None = None
        self._status, theirs = socket.socketpair()
        with theirs:
            descriptors = [theirs.fileno(), *(stream.fileno() for stream in streams)]
            socket.send_fds(_server(), [json.dumps([self.args, environment]).encode()], descriptors)
        self._said = self._status.makefile("rb")
        self.pid = int(self._said.readline())

    def poll(self) -> int | None:
        """Return the exit status, or None while the process runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._status, select.POLLIN)
            if not poll.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(self._said.readline())
            self._said.close()
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended since
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


_lock = threading.Lock()
_servers: list[socket.socket] = []


def _server() -> socket.socket:
    """Return the socket of the fork server of this process; start the fork server if there is none."""
    with _lock:
        if not _servers:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
            with theirs:
                # Its own session: Ctrl-C stops the tests, which then stop their services in order.
                process = subprocess.Popen(
                    [sys.executable, "-m", __name__, str(theirs.fileno())],
                    cwd=Path(__file__).parent.parent,
                    env=os.environ | {"SSL_CERT_FILE": os.devnull},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            _servers.append(ours)
            atexit.register(_end, process, ours)
        return _servers[0]


def _end(process: subprocess.Popen[bytes], requests: socket.socket) -> None:
    requests.close()
    process.wait()


def _serve(requests: socket.socket) -> list[str] | None:
    """Fork a child for each request, and report the ends of children, until the socket is closed.

    In a child, return its arguments.
    """
    waiting = dict[int, tuple[int, int]]()  # the pidfd of each child -> its process id, and the socket of its test
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready in waiting:
                poll.unregister(ready)
                os.close(ready)
                _report_end(*waiting.pop(ready))
                continue
            message, descriptors, _, _ = socket.recv_fds(requests, LARGEST, 1 + STREAMS)
            if not message:
                return None
            status, *streams = descriptors
            pid = os.fork()
            if pid == 0:
                return _started(streams, *json.loads(message))
            for descriptor in streams:
                os.close(descriptor)
            with suppress(BrokenPipeError):
                os.write(status, b"%d\n" % pid)
            ended = os.pidfd_open(pid)
            waiting[ended] = pid, status
            poll.register(ended, select.POLLIN)


def _report_end(pid: int, status: int) -> None:
    """Tell the test that started a child how the child has ended."""
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(BrokenPipeError):  # the test waits no longer
        os.write(status, b"%d\n" % ended)
    os.close(status)


def _started(streams: list[int], arguments: list[str], environment: dict[str, str]) -> list[str]:
    """Make this child like a process of its own, and return its arguments."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(STREAMS, NO_DESCRIPTOR_FROM)
    _replace(environment)
    return arguments


def _replace(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


class ForkedWorker:
    """A forked worker, with the methods of asyncio.subprocess.Process that the supervisor uses."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.get_running_loop().create_future()
        self._descriptor = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._descriptor, self._reap)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self._ended.set_result(self.returncode)

    async def wait(self) -> int:
        status: int = await asyncio.shield(self._ended)
        return status

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


async def _spawn(worker: Worker, link_end: socket.socket) -> ForkedWorker:
    """Start a worker by a fork; replaces `Worker._spawn`."""
    return ForkedWorker(_fork(partial(_work, worker, link_end)))


def _work(worker: Worker, link_end: socket.socket) -> NoReturn:
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    Path("/proc/self/comm").write_text(f"worker {worker.index}")  # tests find workers by this name
    descriptors = (worker._listener.fileno(), link_end.fileno())
    _run(["worker", str(worker.index), *map(str, descriptors)], worker._environment, descriptors)


class ForkedExport:
    """A forked export into a pipe, with the methods of subprocess.Popen that `polystow copy` uses."""

    def __init__(self, pid: int, output: int) -> None:
        self.stdout = os.fdopen(output, "rb")
        self._pid = pid

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        os.waitpid(self._pid, 0)


def _exporting(source_url: str, *, access: bool) -> ForkedExport:
    """Start an export by a fork; replaces `commands._exporting`."""
    output, into = os.pipe()
    pid = _fork(partial(_export, source_url, into, access=access))
    os.close(into)
    return ForkedExport(pid, output)


def _export(source_url: str, into: int, *, access: bool) -> NoReturn:
    os.dup2(into, 1)
    arguments = ["export", commands.STANDARD, "--quiet", *["--with-access"] * access]
    _run(arguments, os.environ | {"POLYSTOW_REDIS_URL": source_url}, ())


def _fork(become: Callable[[], NoReturn]) -> int:
    """Fork a process, and return its id."""
    # Parent and child share the pipe through which asyncio learns of signals. Until the child has installed its own
    # handlers, a signal to the child would run the parent's handlers.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = os.fork()
    if pid == 0:
        become()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
    return pid


def _run(arguments: list[str], environment: Mapping[str, str], kept: Sequence[int]) -> NoReturn:
    """Run a command in a child and end the child. The parent's file descriptors are closed first, except `kept`."""
    status = 1
    try:
        gc.freeze()
        asyncio._set_running_loop(None)
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals():
            if number == signal.SIGCHLD or callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
        start = STREAMS
        for each in sorted(kept):
            os.closerange(start, each)
            start = each + 1
        os.closerange(start, NO_DESCRIPTOR_FROM)
        _replace(dict(environment))
        status = _main(arguments)
    except SystemExit as error:
        status = int(error.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _main(arguments: list[str]) -> int:
    from service.__main__ import main

    return main(arguments)


def _warm() -> None:
    """Import and compute what each process of the service would import and compute again, and the same each time."""
    for module in MODULES:
        import_module(module)
    program, routing = import_module("service.__main__"), import_module("service.http.routing")
    program.__dict__["parser"] = cache(program.parser)
    program.parser()
    import_module("service.storage.scripts.library").installed()
    routing.Router(import_module("service.dialects").discover())  # Python keeps its regular expressions


if __name__ == "__main__":
    _warm()
    Worker._spawn = _spawn  # type: ignore[method-assign,assignment]
    commands._exporting = _exporting  # type: ignore[assignment]
    gc.collect()
    gc.freeze()
    served = _serve(socket.socket(fileno=int(sys.argv[1])))
    if served is not None:
        sys.argv[1:] = served
        try:
            status = _main(served)
        except SystemExit as error:  # of the parser of arguments
            status = int(error.code or 0)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # Python would first take all modules apart, and copy the memory that they are in
