"""`python -m bench.files`: what others notice while eight files of 8 MB at once go up and down, and the memory of it.

Two probes ask every few milliseconds, first in quiet and then meanwhile: one asks Redis itself (GET), one asks the
service for a key of a storage area, on its only worker, which is the one that moves the files. The files are moved by a
process of its own, so that what the probes wait for is not their own doing.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from typing import Any

from aiohttp import ClientSession
from redis.asyncio import Redis

from bench.placement import placement
from bench.polystow import Polystow
from bench.processes import ROOT, Unusable, resident_bytes
from bench.redis_server import RedisServer
from bench.results import RESULTS, table, write

MEBIBYTE = 1024 * 1024
AT_ONCE = 8
FILE_BYTES = 8 * MEBIBYTE
SECONDS = 10.0
PAUSE = 0.002  # seconds between two questions of a probe
WITHIN = 3.0  # times the quiet p99 of Redis
GROWTH = 120 * MEBIBYTE  # of the worker
HOLD_US = 5000
STORAGE = "/genesys/1/storage"
BOUNDARY = "----bench"

Latencies = list[float]


async def move(url: str) -> None:
    """Upload a file and download it, eight at once, until this process is ended."""
    content = os.urandom(FILE_BYTES)
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
    form = head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}

    async def pieces() -> Any:
        for start in range(0, len(form), MEBIBYTE):
            yield form[start : start + MEBIBYTE]

    async def there_and_back(http: ClientSession) -> None:
        while True:
            async with http.post(f"{url}{STORAGE}/5", data=pieces(), headers=headers) as answer:
                id = (await answer.json())["id"]
            async with http.get(f"{url}{STORAGE}/binary/{id}/file") as answer:
                if await answer.read() != content:
                    raise SystemExit("other bytes came back")
            print("moved", flush=True)

    async with ClientSession() as http:
        await asyncio.gather(*(there_and_back(http) for _ in range(AT_ONCE)))


async def probe(ask: Callable[[], Awaitable[object]], until: asyncio.Event) -> Latencies:
    found: Latencies = []
    while not until.is_set():
        began = perf_counter()
        await ask()
        found.append(perf_counter() - began)
        await asyncio.sleep(PAUSE)
    return found


async def probed(service: Polystow, server: RedisServer, seconds: float) -> tuple[Latencies, Latencies, int]:
    """Latencies of Redis and of the service, in seconds, and the most memory of the worker, in bytes."""
    (worker,) = service.workers()
    until, most = asyncio.Event(), 0
    async with ClientSession() as http, Redis.from_url(server.url) as redis:
        async with http.post(f"{service.url}{STORAGE}/600", data={"a": "1"}) as answer:
            id = (await answer.json())["id"]

        async def get() -> None:
            async with http.get(f"{service.url}{STORAGE}/{id}/a") as answer:
                await answer.read()

        asking = asyncio.gather(probe(lambda: redis.get("probe"), until), probe(get, until))
        for _ in range(round(seconds / 0.01)):
            most = max(most, resident_bytes(worker))
            await asyncio.sleep(0.01)
        until.set()
        return *(await asking), most


def measured(service: Polystow, server: RedisServer, seconds: float, client: str) -> dict[str, Any]:
    quiet = asyncio.run(probed(service, server, seconds))
    with server.client() as redis:
        redis.config_set("slowlog-log-slower-than", HOLD_US)
        redis.slowlog_reset()
    command = [sys.executable, "-m", "bench.files", "--move", service.url]
    pinned = ["taskset", "-c", client, *command] if client else command
    with subprocess.Popen(pinned, cwd=ROOT, stdout=subprocess.PIPE, text=True) as moving:
        assert moving.stdout is not None
        try:
            moving.stdout.readline()  # the first file is there and back: from now on it is busy
            busy = asyncio.run(probed(service, server, seconds))
        finally:
            moving.terminate()
        moved = moving.stdout.read().count("moved")
    with server.client() as redis:
        slow = [f"{each['command'].split()[0].decode()}: {each['duration']} us" for each in redis.slowlog_get(100)]
    return {
        "redis_ms": {"quiet": figures(quiet[0]), "busy": figures(busy[0])},
        "service_ms": {"quiet": figures(quiet[1]), "busy": figures(busy[1])},
        "files": moved, "seconds": seconds, "growth_bytes": busy[2] - quiet[2], "held_too_long": slow,
    }  # fmt: skip


def figures(latencies: Latencies) -> dict[str, float]:
    cuts = quantiles(latencies, n=100)
    return {"p50": round(cuts[49] * 1000, 3), "p99": round(cuts[98] * 1000, 3)}


def verdict(found: dict[str, Any]) -> tuple[bool, str]:
    """Whether Redis stayed within `WITHIN`, the worker within `GROWTH` and nothing held Redis, and that in words."""
    times = found["redis_ms"]["busy"]["p99"] / found["redis_ms"]["quiet"]["p99"]
    good = times <= WITHIN and found["growth_bytes"] < GROWTH and not found["held_too_long"] and found["files"] > 0
    held = ", ".join(found["held_too_long"]) or "none"
    return good, (
        f"{found['files']} files up and down in {found['seconds']:g} s; p99 of Redis {times:.1f} x quiet; the worker "
        f"grew by {found['growth_bytes'] / MEBIBYTE:.0f} MiB; held Redis for 5 ms: {held}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="python -m bench.files", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of each half [{SECONDS:g}]")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where to write [bench/results]")
    parser.add_argument("--move", metavar="URL", help=argparse.SUPPRESS)
    parsed = parser.parse_args(given)
    if parsed.move:
        asyncio.run(move(parsed.move))
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            where = placement()
            with (
                RedisServer(Path(scratch), where.redis) as server,
                Polystow(Path(scratch), where.server, redis_url=server.url) as service,
            ):
                found = measured(service, server, parsed.seconds, where.client)
    except Unusable as error:
        print(f"bench.files: {error}", file=sys.stderr)
        return 1
    probes = ((who, found[f"{who}_ms"]) for who in ("redis", "service"))
    rows = [[who, *each["quiet"].values(), *each["busy"].values()] for who, each in probes]
    good, said = verdict(found)
    print(table(["ms", "quiet p50", "p99", "busy p50", "p99"], rows), said, sep="\n\n")
    write(parsed.out, "files", given, found)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
