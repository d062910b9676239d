"""Runs schemathesis in forks of one process that has imported it, because the imports take longer than a short run."""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path

STREAMS = (1, 2)  # file descriptors of standard output and standard error

# The modules of the command; it imports most of them when it runs.
MODULES = (
    "schemathesis.cli.commands.run.executor",
    "schemathesis.cli.commands.run.handlers",
    "schemathesis.engine.core",
    "schemathesis.engine.run.probes",
    "schemathesis.engine.run.stateful",
    "schemathesis.engine.run.unit._direct_executor",
    "schemathesis.engine.run.unit._layered_scheduler",
    "schemathesis.engine.run.unit._pool",
    "schemathesis.specs.openapi.examples",
    "schemathesis.specs.openapi.stateful",
)

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([*MODULES, __name__])


def schemathesis(arguments: Sequence[str], environment: dict[str, str], directory: Path) -> str:
    """Run the command `schemathesis` with these arguments in a directory, and return its output."""
    output = directory / "output"
    process = _context.Process(target=_run, args=([*arguments], environment, directory, output))
    process.start()
    process.join()
    process.close()
    return output.read_text()


def _run(arguments: list[str], environment: dict[str, str], directory: Path, output: Path) -> None:
    with output.open("wb") as file:
        for stream in STREAMS:
            os.dup2(file.fileno(), stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    sys.argv = ["schemathesis", *arguments]
    from schemathesis.cli import schemathesis as command

    command(arguments)
