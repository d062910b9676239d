"""Starts services by a fork (tests/forking.py) instead of the command, because these tests measure nothing.

The service of another checkout starts as users start it, and so do those of measurements in a process of their own.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from bench.polystow import Polystow
from bench.processes import ROOT, children
from tests.forking import Forked

_started, _workers = Polystow._started, Polystow.workers


def started(service: Polystow, environment: dict[str, str], out: IO[bytes]) -> object:
    """Replace `Polystow._started`."""
    if service._directory != ROOT:
        return _started(service, environment, out)
    with open(os.devnull, "rb") as nothing:
        forked = Forked(service.command[3:], environment, nothing, out, out)
    if service._cores:  # its workers, which it starts later, inherit them
        os.sched_setaffinity(forked.pid, map(int, service._cores.split(",")))
    return forked


def workers(service: Polystow) -> list[int]:
    """Replace `Polystow.workers`: forked workers are known by their name, and have no command line of their own."""
    named = [pid for pid in children(service.pid) if Path(f"/proc/{pid}/comm").read_text().startswith("worker")]
    return named or _workers(service)


@pytest.fixture(scope="module", autouse=True)
def forked_services() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Polystow, "_started", started)
        patch.setattr(Polystow, "workers", workers)
        yield
