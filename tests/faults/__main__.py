"""`make faults`: clients call a service while faults are injected; then the history of their calls is checked.

The seed decides which calls are made and which faults are injected, in which order. Their times depend on the machine.
The exit status is 0 if every history is possible for a correct service, and 1 if one is impossible. An impossible
history is written to a file.
"""

import argparse
import asyncio
import pickle
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from time import monotonic

from tests.faults.cluster import clustered
from tests.faults.faults import FAULTS, names
from tests.faults.history import History
from tests.faults.register import registers
from tests.faults.stand import Service, standing
from tests.faults.trial import Plan, trial
from tests.servers import binaries

STANDS: dict[str, Callable[..., AbstractAsyncContextManager[Service]]] = {"single": standing, "cluster": clustered}
NEEDS_VERSIONS = "fail_over"  # this fault: only versions show which writes a failover has lost
LONGEST = 60.0  # seconds of one trial, at most; the next one has a new stand, and another dialect or seed


def arguments() -> argparse.Namespace:
    servers = dict(binaries())
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="in all [300]")
    parser.add_argument("--operations", type=int, help="end after this number of calls")
    parser.add_argument("--seed", type=int, default=1, help="of the first trial [1]")
    some = "; ".join(f"{topology}: {','.join(names(topology))}" for topology in FAULTS)
    parser.add_argument("--topology", choices=list(STANDS), default="single", help="of Redis [single]")
    parser.add_argument("--faults", help=f"some of these, comma-separated [all]. {some}")
    parser.add_argument("--appendfsync", choices=("everysec", "always"), default="everysec")
    parser.add_argument("--slow-disk", action="store_true", help="single: each fsync of Redis takes 0.8 s")
    parser.add_argument("--dialect", choices=sorted(registers()), action="append", help="[each in turn]")
    parser.add_argument("--server", choices=list(servers), default=next(iter(servers)))
    parser.add_argument("--clients", type=int, default=16, help="[16]")
    parser.add_argument("--pause", type=float, default=0.8, help="longest between two faults of a group, seconds [0.8]")
    return parser.parse_args()


def keep(history: History, seed: int) -> Path:
    """Write a history to a new file for examination, and return its path."""
    kept = Path(tempfile.mkstemp(prefix=f"history-{seed}-", suffix=".pickle")[1])
    kept.write_bytes(pickle.dumps(history))
    return kept


async def main(given: argparse.Namespace) -> int:
    end, seed, calls, wrong = monotonic() + given.seconds, given.seed, 0, 0
    dialects = {name: each for name, each in registers().items() if not given.dialect or name in given.dialect}
    longest = min(LONGEST, given.seconds / len(dialects))
    chosen = tuple(given.faults.split(",")) if given.faults else names(given.topology)
    while monotonic() < end and (given.operations is None or calls < given.operations):
        for name, register in dialects.items():
            plan = Plan(
                seed,
                min(longest, max(1.0, end - monotonic())),
                tuple(fault for fault in chosen if register.versions or fault != NEEDS_VERSIONS),
                None if given.operations is None else given.operations - calls,
                given.clients,
                pause=given.pause,
            )
            binary = dict(binaries())[given.server]
            disk = {"slow_disk": True} if given.slow_disk else {}
            async with STANDS[given.topology](binary=binary, appendfsync=given.appendfsync, **disk) as stand:
                verdict = await trial(stand, register, plan)
            calls += len(verdict.history.writes) + len(verdict.history.reads)
            stood = ", ".join([given.server, given.topology, given.appendfsync, *disk])
            print(f"{name} on {stood}, seed {seed}: {verdict}", flush=True)
            if verdict.found:
                wrong += 1
                print("\n".join([*verdict.found[:20], f"the history is in {keep(verdict.history, seed)}"]))
        seed += 1
    print(f"{calls} calls, {wrong} impossible histories")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(arguments())))
