"""Work that grows with a document, done outside of the event loop.

What is long goes to a second process of the worker: the parsers and regular expressions that do it keep Python's lock,
so a thread would hold up the event loop as well. The process is started when it is first needed, does one job at a
time, is replaced when it has died, and ends when its input does: whatever ends the worker. A job that takes far
longer than any document can ends it, too, so that a process that stands still holds up nobody for ever. Its memory is
bounded by the size of its jobs, so that no shape of a document takes all that there is. It has the worker's environment
and standard error, and none of its sockets.

A job is a picklable function and its arguments. What is short is done at once, in the event loop.
"""

import asyncio
import atexit
import os
import pickle
import resource
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fcntl import F_SETPIPE_SZ, fcntl
from threading import Timer
from traceback import format_exc
from typing import Any, BinaryIO, TypeVar

from service.storage.errors import Refusal, TooLarge, Unavailable
from service.storage.scripts.turns import Turns

INLINE_BYTES = 64_000  # of arguments: what is done in the event loop takes 20 ms at the worst, mostly below 1 ms
PIPE_BYTES = 1 << 20  # the most that Linux gives: fewer times that the thread has to wait for Python's lock
LEAST_MEMORY, MEMORY_A_BYTE = 64 << 20, 16  # that a job may have; most take less than ten times, many short names 14
LONGEST_SECONDS, SECONDS_A_BYTE = 10.0, 3e-6  # that a job may take: ten times what the worst documents need

T = TypeVar("T")


class Offload:
    def __init__(self, seconds: float = LONGEST_SECONDS) -> None:
        self._seconds = seconds
        self._thread = ThreadPoolExecutor(1, "offload")  # talks to the process
        self._process: subprocess.Popen[bytes] | None = None
        self._turns = Turns()
        self._inline = 0  # bytes worked on in the event loop since others had their turn

    async def run(self, function: Callable[..., T], *args: Any, inline: int = INLINE_BYTES) -> T:
        """The function's result; in the event loop if the bytes among its arguments are `inline` at the most.

        Needs no task. Raises what the function raises; Unavailable (nothing was done) if its turn does not
        come in time, or the process cannot be started, dies at it, or takes too long; and TooLarge where it takes far
        more memory than the arguments.
        """
        loop, size = asyncio.get_running_loop(), _size(args)
        if size > inline:
            async with self._turns.turn():
                return await loop.run_in_executor(self._thread, self._do, size, function, args)
        self._inline += size
        if self._inline > INLINE_BYTES:
            self._inline = 0
            await asyncio.sleep(0)
        return function(*args)

    def close(self) -> None:
        """End the process, and what it is doing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with suppress(OSError), process:  # closes the pipes and waits
                pass

    def _do(self, size: int, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        try:
            process = self._process
            if process is None or process.poll() is not None:
                self.close()
                self._process = process = _started()
            # Not of the event loop: who waits may be cancelled, and the job is still at work.
            overdue = Timer(self._seconds + size * SECONDS_A_BYTE, process.kill)
            overdue.daemon = True
            overdue.start()
            try:
                done, result = _asked(process, function, args)
            finally:
                overdue.cancel()
        except Exception as error:
            self.close()
            # It has died, or there is no room for it.
            if isinstance(error, (OSError, EOFError, ValueError, MemoryError, pickle.UnpicklingError)):
                raise Unavailable("the change could not be computed; nothing was done") from error
            raise
        if isinstance(result, MemoryError):
            self.close()  # it gives back what it has
            raise TooLarge("the document is made of too many parts to be changed") from result
        if not done:
            raise result
        answer: T = result
        return answer


def _started() -> "subprocess.Popen[bytes]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POLYSTOW_")}
    process = subprocess.Popen(
        (sys.executable, "-P", "-m", __name__),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(OSError):  # all processes of one user share what Linux gives
            fcntl(pipe, F_SETPIPE_SZ, PIPE_BYTES)
    return process


def _asked(process: "subprocess.Popen[bytes]", function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[bool, Any]:
    """What the process tells of one job: whether it was done, and its result or what went wrong."""
    jobs, results = process.stdin, process.stdout
    assert jobs is not None
    assert results is not None
    pickle.dump((function, args), jobs, pickle.HIGHEST_PROTOCOL)
    jobs.flush()
    told: tuple[bool, Any] = pickle.load(results)
    return told


def _size(args: tuple[Any, ...]) -> int:
    return sum(len(each) for each in args if isinstance(each, bytes))


def serve(jobs: BinaryIO, results: BinaryIO) -> None:
    """The second process: jobs are read, done and told until there are no more, or no memory for one."""
    largest, (_, most) = 0, resource.getrlimit(resource.RLIMIT_DATA)
    with suppress(EOFError, BrokenPipeError, MemoryError):
        while True:
            function, args = pickle.load(jobs)
            largest = max(largest, LEAST_MEMORY + MEMORY_A_BYTE * _size(args))  # what was freed may not be given back
            resource.setrlimit(resource.RLIMIT_DATA, (largest if most < 0 else min(largest, most), most))
            pickle.dump(_told(function, args), results, pickle.HIGHEST_PROTOCOL)
            results.flush()
            del function, args


def _told(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return True, function(*args)
    except MemoryError:
        return False, MemoryError()
    except Exception as error:
        if not isinstance(error, Refusal):
            error.add_note(format_exc())
        return False, error


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
else:
    offload = Offload()
    run, close = offload.run, offload.close
    atexit.register(close)
