"""Work that grows with a document, done outside of the event loop.

What is long goes to a second process of the worker: the parsers and regular expressions that do it keep Python's lock,
so a thread would hold up the event loop as well. The process is started when it is first needed, does one job at a
time, is replaced when it has died, and ends when its input does: whatever ends the worker. It has the worker's
environment and standard error, and none of its sockets.

A job is a picklable function and its arguments. What is short is done at once, in the event loop.
"""

import asyncio
import atexit
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from traceback import format_exc
from typing import Any, BinaryIO, TypeVar

from service.storage.errors import Refusal, Unavailable
from service.storage.turns import Turns

INLINE_BYTES = 64_000  # of arguments: what is done in the event loop takes 20 ms at the worst, mostly below 1 ms
PIPE_BYTES = 1 << 20  # the most that Linux gives: fewer times that the thread has to wait for Python's lock

T = TypeVar("T")


class Offload:
    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "offload")  # talks to the process
        self._process: subprocess.Popen[bytes] | None = None
        self._turns = Turns()
        self._inline = 0  # bytes worked on in the event loop since others had their turn

    async def run(self, function: Callable[..., T], *args: Any, inline: int = INLINE_BYTES) -> T:
        """The function's result; in the event loop if the bytes among its arguments are `inline` at the most.

        Needs no task. Raises what the function raises, and Unavailable (nothing was done) if its turn does
        not come in time or the process dies at it.
        """
        loop, size = asyncio.get_running_loop(), sum(len(each) for each in args if isinstance(each, bytes))
        if size > inline:
            async with self._turns.turn():
                return await loop.run_in_executor(self._thread, self._do, function, args)
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

    def _do(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = _started()
        jobs, results = self._process.stdin, self._process.stdout
        assert jobs is not None
        assert results is not None
        try:
            pickle.dump((function, args), jobs, pickle.HIGHEST_PROTOCOL)
            jobs.flush()
            done, result = pickle.load(results)
        except Exception as error:
            self.close()
            if isinstance(error, (OSError, EOFError, ValueError, pickle.UnpicklingError)):  # it has died
                raise Unavailable("the change could not be computed; nothing was done") from error
            raise
        if not done:
            raise result
        answer: T = result
        return answer


def _started() -> "subprocess.Popen[bytes]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POLYSTOW_")}
    return subprocess.Popen(
        (sys.executable, "-P", "-m", __name__),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, pipesize=PIPE_BYTES, start_new_session=True,
        env=environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip


def serve(jobs: BinaryIO, results: BinaryIO) -> None:
    """The second process: jobs are read, done and told until there are no more."""
    with suppress(EOFError, BrokenPipeError):
        while True:
            pickle.dump(_told(*pickle.load(jobs)), results, pickle.HIGHEST_PROTOCOL)
            results.flush()


def _told(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return True, function(*args)
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
