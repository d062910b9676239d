"""`make fuzz`: broken requests for as long as asked. Exit statuses: 0 when nothing was found, 1 otherwise."""

import argparse
import asyncio
import sys
from collections import Counter
from time import monotonic

from tests.fuzz.edge import fuzz
from tests.running import Running

ROUND = 5_000  # requests of one seed


async def main(seconds: float, seed: int) -> int:
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
    print(f"answers by status (0: none): {dict(sorted(statuses.items()))}; next seed {seed}")
    print("\n".join([*found[:20], f"{len(found)} found"]))
    return 1 if found else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="[300]")
    parser.add_argument("--seed", type=int, default=1, help="[1]")
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.seconds, given.seed)))
