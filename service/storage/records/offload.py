"""Work whose time grows with a document, done outside of the event loop.

Long work is done by a second process of the worker: parsers and regular expressions hold Python's lock, so a
thread would stop the event loop too. The process is started when it is first needed, and does one job at a
time. It is replaced if it has died. It ends at the end of its input, so it ends with the worker. If a job takes far
longer than any document needs, the process is ended. The memory of the process is bounded by the size of
its jobs. It has the worker's environment, without settings, and standard error, and none of its sockets.

A job is a picklable function and its arguments. Short work is done at once, in the event loop.
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

INLINE_BYTES = 64_000  # of arguments: work in the event loop takes at most 20 ms, mostly less than 1 ms
PIPE_BYTES = 1 << 20  # the most that Linux allows, so that the thread waits for Python's lock less often
LEAST_MEMORY, MEMORY_A_BYTE = 64 << 20, 16  # limit of a job; most need less than 10 bytes a byte, short names 14
LONGEST_SECONDS, SECONDS_A_BYTE = 10.0, 3e-6  # limit of a job: ten times the time for the worst documents

T = TypeVar("T")


class Offload:
    """The second process of a worker, and the queue of its jobs."""

    def __init__(self, seconds: float = LONGEST_SECONDS) -> None:
        self._seconds = seconds
        self._thread = ThreadPoolExecutor(1, "offload")  # the thread that waits for the process
        self._process: subprocess.Popen[bytes] | None = None
        self._turns = Turns()
        self._inline = 0  # bytes worked on in the event loop since it last ran other tasks

    async def run(self, function: Callable[..., T], *args: Any, inline: int = INLINE_BYTES) -> T:
        """Return the function's result, computed in the event loop if its arguments have at most `inline`
        bytes.

        It needs no task. Raises what the function raises; Unavailable (nothing was done) if its turn does not
        come in time, or if the process cannot be started, dies, or takes too long; TooLarge if it needs far
        more memory than its arguments.
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
        """End the process and its job."""
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
            # Not a timer of the event loop: the waiting task may be cancelled while the job is still running.
            overdue = Timer(self._seconds + size * SECONDS_A_BYTE, process.kill)
            overdue.daemon = True
            overdue.start()
            try:
                done, result = _asked(process, function, args)
            finally:
                overdue.cancel()
        except Exception as error:
            self.close()
            # The process has died, or there is no memory for it.
            if isinstance(error, (OSError, EOFError, ValueError, MemoryError, pickle.UnpicklingError)):
                raise Unavailable("the change could not be computed; nothing was done") from error
            raise
        if isinstance(result, MemoryError):
            self.close()  # so that its memory is freed
            raise TooLarge("the document has too many values to be changed in part; replace it as a whole") from result
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
        with suppress(OSError):  # Linux bounds the pipes of all processes of a user together
            fcntl(pipe, F_SETPIPE_SZ, PIPE_BYTES)
    return process


def _asked(process: "subprocess.Popen[bytes]", function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[bool, Any]:
    """Give a job to the process. Return True and its result, or False and its error."""
    jobs, results = process.stdin, process.stdout
    assert jobs is not None
    assert results is not None
    pickle.dump((function, args), jobs, pickle.HIGHEST_PROTOCOL)
    jobs.flush()
    answer: tuple[bool, Any] = pickle.load(results)
    return answer


def _size(args: tuple[Any, ...]) -> int:
    return sum(len(each) for each in args if isinstance(each, bytes))


def serve(jobs: BinaryIO, results: BinaryIO) -> None:
    """Run the second process: do jobs until there are no more, or no memory for one."""
    largest, (_, most) = 0, resource.getrlimit(resource.RLIMIT_DATA)
    with suppress(EOFError, BrokenPipeError, MemoryError):
        while True:
            function, args = pickle.load(jobs)
            largest = max(largest, LEAST_MEMORY + MEMORY_A_BYTE * _size(args))  # the allocator may keep freed memory
            resource.setrlimit(resource.RLIMIT_DATA, (largest if most < 0 else min(largest, most), most))
            pickle.dump(_result(function, args), results, pickle.HIGHEST_PROTOCOL)
            results.flush()
            del function, args


def _result(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[bool, Any]:
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
