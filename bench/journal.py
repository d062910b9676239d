"""`python -m bench.journal`: PUTs a second in a project that has a journal with values, and in one without a journal.

One service has both projects. They take turns, and the result is the median of the ratios of all rounds; the first
round is not counted. Redis's time for a PUT is that of its script, from `INFO commandstats`.

Exit statuses: 0 if a PUT with a journal is at least 0.8 times as fast as one without, 1 if not, or if it could not be
measured.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from bench.compare.wrk import Order, Request, run
from bench.documents import document
from bench.placement import placement
from bench.polystow import ACCESS, FEW_KEY, KEY, PROJECT, Polystow
from bench.processes import Unusable
from bench.redis_server import RedisServer

TARGET = "/api/v1/storage/json/measured/KEY"
SIZE = 125
KEYS = 1000
CONNECTIONS = 64
LEAST = 0.8
PROJECTS = {"journal": KEY, "none": FEW_KEY}  # the key of each project


def script_time(server: RedisServer) -> tuple[int, int]:
    """Return the calls of scripts so far, and the microseconds that they took."""
    found: dict[str, Any] = server.info("commandstats").get("cmdstat_fcall", {})
    return int(found.get("calls", 0)), int(found.get("usec", 0))


def measure(directory: Path, rounds: int, seconds: int) -> dict[str, dict[str, list[float]]]:
    """Return PUTs a second, and Redis's microseconds for one PUT, by project and round. Raises Unusable."""
    found: dict[str, dict[str, list[float]]] = {name: {"rate": [], "redis": []} for name in PROJECTS}
    with ExitStack() as stack:
        where = placement()
        redis = stack.enter_context(RedisServer(directory, where.redis))
        service = stack.enter_context(Polystow(directory, where.server, redis_url=redis.url))
        for turn in range(rounds + 1):
            for name, key in PROJECTS.items():
                put = Request("PUT", TARGET, {"Authorization": f"Bearer {key}"}, document(SIZE))
                calls, usec = script_time(redis)
                order = Order("spread", [(100, put)], CONNECTIONS, KEYS, seed=turn + 1)
                sample = run(service.url, order, seconds, directory=directory, cores=where.client)
                if sample.broken or sample.refused:
                    raise Unusable(f"{sample.broken} requests broke, {sample.refused} were refused")
                calls, usec = (now - before for now, before in zip(script_time(redis), (calls, usec), strict=True))
                if turn:
                    found[name]["rate"].append(sample.rate)
                    found[name]["redis"].append(usec / calls)
    return found


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.journal", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="of a turn for each project [9]")
    parser.add_argument("--seconds", type=int, default=2, help="of a turn [2]")
    options = parser.parse_args(given)
    ACCESS["ainoflow"]["projects"] = [{"id": PROJECT, "journal": {}}]  # type: ignore[index]
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            found = measure(Path(scratch), options.rounds, options.seconds)
    except Unusable as error:
        print(f"journal: {error}", file=sys.stderr)
        return 1
    pairs = zip(found["journal"]["rate"], found["none"]["rate"], strict=True)
    ratio = median(kept / none for kept, none in pairs)
    result = {
        "PUTs a second": {name: round(median(each["rate"])) for name, each in found.items()},
        "microseconds of Redis for one": {name: round(median(each["redis"]), 1) for name, each in found.items()},
        "ratio": round(ratio, 3),
        "placement": placement().note,
    }
    print(json.dumps(result, indent=2))
    return 0 if ratio >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
