"""`python -m bench.soak`: the memory of one worker under a long mix of requests.

As many requests are sent first, as a warm-up: until caches are full, and libc's allocator has its maximum of memory.
Then the memory is read ten times, after equal numbers of requests. A line is fitted to it. Its rise over these requests
is the growth.

Exit statuses: 0 if the memory does not grow, 1 if it does or could not be measured.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression

from bench.compare.systems.polystow import CHANGE, DOCUMENTS, HEADERS
from bench.compare.wrk import Order, Request, run
from bench.documents import document
from bench.filling import collection_named, fill, opened
from bench.placement import Placement, placement
from bench.polystow import Polystow
from bench.processes import Unusable, resident_bytes
from bench.redis_server import RedisServer
from bench.results import RESULTS, table, write

REQUESTS = 2_000_000
WARM_UP = 2_000_000  # requests
POINTS = 10
COLLECTION = "soaked"
KEYS = 10_000
SIZE = 1024
CONNECTIONS = 64
MEBIBYTE = 1024 * 1024
FLAT = 0.02  # share of the memory by which it may grow over the whole run

_one = f"{DOCUMENTS}/{COLLECTION}/KEY"
MIX = (
    (70, Request("GET", _one, HEADERS)),
    (5, Request("GET", f"{_one}/meta", HEADERS)),
    (2, Request("GET", f"{DOCUMENTS}/{COLLECTION}?limit=20", HEADERS)),
    (15, Request("PUT", _one, HEADERS, document(SIZE))),
    (8, Request("PATCH", _one, HEADERS, CHANGE)),
)


class Wrong(Exception):
    """Requests failed."""


@dataclass(frozen=True, slots=True)
class Point:
    requests: int  # answered since the warm-up
    resident: int  # bytes of the worker's memory


def soaked(
    placement: Placement, directory: Path, warm_up: int, requests: int, say: Callable[[Point], None]
) -> list[Point]:
    """Run the mix, and return the memory at each point after the warm-up. Raises Unusable, Wrong."""
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(directory, placement.redis))
        service = stack.enter_context(Polystow(directory, placement.server, redis_url=redis.url))
        asyncio.run(_filled(redis.url))
        (worker,) = service.workers()
        points: list[Point] = []
        done, rate, warmed_up = 0, 0.0, 0
        while len(points) < POINTS:
            due = warmed_up + requests * (len(points) + 1) // POINTS if warmed_up else warm_up
            seconds = max(1, round((due - done) / rate)) if rate else 1
            sample = run(
                service.url,
                Order("spread", MIX, CONNECTIONS, KEYS, seed=done + 1),
                seconds,
                directory=directory,
                cores=placement.client,
            )
            if sample.broken or sample.refused or service.workers() != [worker]:
                raise Wrong(f"{sample.broken} requests broke, {sample.refused} were refused")
            done, rate = done + sample.requests, sample.rate
            if done >= due and not warmed_up:
                warmed_up = done
                say(Point(0, resident_bytes(worker)))
            elif done >= due:
                points.append(Point(done - warmed_up, resident_bytes(worker)))
                say(points[-1])
        return points


async def _filled(url: str) -> None:
    async with opened(url) as (_, storage):
        await fill(storage, collection_named(COLLECTION), KEYS, document(SIZE))


def growth(points: Sequence[Point]) -> float:
    """Return the bytes by which a line through the points rises over the whole run."""
    line = linear_regression([point.requests for point in points], [point.resident for point in points])
    return float(line.slope) * points[-1].requests


def verdict(points: Sequence[Point]) -> tuple[bool, str]:
    """Return True if the memory does not grow, and a sentence about it."""
    rise, last = growth(points), points[-1]
    flat = rise <= FLAT * last.resident
    said = (
        f"{'flat' if flat else 'NOT flat'}: {rise / MEBIBYTE:+.2f} MiB over {last.requests:,} requests"
        f" ({rise / last.requests:+.2f} bytes per request) at {last.resident / MEBIBYTE:.1f} MiB"
    )
    return flat, said


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=REQUESTS, help=f"how many [{REQUESTS}]")
    parser.add_argument("--warm-up", type=int, default=WARM_UP, help=f"requests before [{WARM_UP}]")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where to write [bench/results]")
    parsed = parser.parse_args(given)

    def say(point: Point) -> None:
        print(
            f"{point.requests:,} requests since the warm-up, {point.resident / MEBIBYTE:.1f} MiB",
            file=sys.stderr,
            flush=True,
        )

    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            points = soaked(placement(), Path(scratch), parsed.warm_up, parsed.requests, say)
    except (Unusable, Wrong) as error:
        print(f"bench.soak: {error}", file=sys.stderr)
        return 1
    flat, said = verdict(points)
    rows = [(f"{point.requests:,}", f"{point.resident / MEBIBYTE:.1f}") for point in points]
    print(table(["requests since the warm-up", "worker, MiB"], rows), said, sep="\n\n")
    figures = [{"requests": point.requests, "resident": point.resident} for point in points]
    write(parsed.out, "soak", given, {"points": figures, "growth_bytes": round(growth(points)), "flat": flat})
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
