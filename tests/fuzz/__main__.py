"""`make fuzz`: sends broken and random input to the service. The exit status is 0 if nothing was found, 1 otherwise.

There are broken requests to a service with two workers, each target under atheris (if it is installed), and random
merges in Redis. Each gets an equal part of the time.
"""

import argparse
import asyncio
import sys
from collections import Counter
from time import monotonic

from tests.fuzz import runs, scripts
from tests.fuzz.sending import fuzz
from tests.running import Running

ROUND = 1_000  # requests of one seed


async def requests(seconds: float, seed: int) -> list[str]:
    """Send malformed requests on sockets; return the errors that were found."""
    end, found, statuses = monotonic() + seconds, [], Counter[int]()
    with Running(workers=2) as running:
        await asyncio.to_thread(running.wait_ready)
        while monotonic() < end:
            told, wrong = await fuzz(running, seed, ROUND)
            statuses += told
            found += wrong
            seed += 1
        if "Traceback" in running.log:
            found.append("a traceback was logged:\n" + running.log[running.log.index("Traceback") :][:2000])
    print(f"requests: answers by status (0: none): {dict(sorted(statuses.items()))}; next seed {seed}", flush=True)
    return found


def main(seconds: float, seed: int) -> int:
    share = seconds / (len(runs.COVERED) + 2)
    found = asyncio.run(requests(share, seed))
    for target in runs.COVERED:
        run = runs.run(target, seed, seconds=share)
        print(run, flush=True)
        found += [run.found] if run.found else []
    count, wrong = scripts.agree(share, seed)
    print(f"scripts: {count} pairs merged")
    found += [wrong] if wrong else []
    print("\n".join([*found[:20], f"{len(found)} found"]))
    return 1 if found else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="in all [300]")
    parser.add_argument("--seed", type=int, default=1, help="[1]")
    given = parser.parse_args()
    sys.exit(main(given.seconds, given.seed))
