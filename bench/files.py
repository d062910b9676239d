"""`python -m bench.files`: latencies and memory while eight files of 8 MB at once are uploaded and downloaded.

Two probes send requests all the time: one sends GET to Redis itself, the other asks the service for a key of a storage
area. The service has one worker, so the same worker also moves the files. Each round measures the probes three times:
without load, while the same bytes go to a server without Redis (control), and while the files go to the service.

Redis and the probes share a core without any load. They have priority over everything else that runs on this core, and
the probes have priority over Redis, as if they were on another machine. Worker, client and control have the other core.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from json import loads
from pathlib import Path
from statistics import median, quantiles
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from bench.moving import STORAGE
from bench.placement import placement
from bench.polystow import Polystow
from bench.probe import waited
from bench.processes import ROOT, Child, Unusable, free_port, listening, resident_bytes
from bench.redis_server import RedisServer
from bench.results import RESULTS, table, write

MEBIBYTE = 1024 * 1024
ROUNDS = 5
SECONDS = 3.0
WITHIN = 3.0  # limit for Redis's p99, as a multiple of that without load
GROWTH = 120 * MEBIBYTE  # limit of the worker's growth
HOLD_US = 5000
REDIS_PRIORITY, PROBE_PRIORITY = 1, 2  # priorities of SCHED_FIFO
GET = r"*2\r\n$3\r\nGET\r\n$5\r\nprobe\r\n"


class Stage:
    """The parts of one round's measurement, and their cores."""

    def __init__(self, server: RedisServer, service: Polystow, cores: tuple[str, str], scratch: Path) -> None:
        self.server, self.service, self.scratch = server, service, scratch
        self.load_cores, self.redis_cores = cores
        self.first = self.load_cores != self.redis_cores and _goes_first(server.pid)
        (self.worker,) = service.workers()

    def probes(self, seconds: float) -> dict[str, Any]:
        """Return the results of both probes, and the peak of the worker's memory meanwhile."""
        url = urlsplit(self.service.url)
        form = Request(f"{self.service.url}{STORAGE}/600", data=b"a=1", method="POST")
        with urlopen(form) as answer:
            id = loads(answer.read())["id"]
        get = rf"GET {STORAGE}/{id}/a HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n"
        kept = waited(self.server.pid)
        asking = [self._probe(port, ask, seconds) for port, ask in ((self.server.port, GET), (url.port, get))]
        most, end = 0, monotonic() + seconds
        while monotonic() < end:
            most = max(most, resident_bytes(self.worker))
            sleep(0.02)
        (redis, delay), (service, _) = (loads(each.communicate()[0]) for each in asking)
        kept = waited(self.server.pid) - kept
        return {
            "redis": figures(redis),
            "service": figures(service),
            "resident_bytes": most,
            "waited_ms": {"probe": round(delay * 1000, 1), "redis": round(kept * 1000, 1)},
        }

    def _probe(self, port: int | None, request: str, seconds: float) -> "subprocess.Popen[bytes]":
        first = ["--priority", str(PROBE_PRIORITY)] if self.first else []
        command = [sys.executable, "-m", "bench.probe", str(port), request, str(seconds), *first]
        return subprocess.Popen(["taskset", "-c", self.redis_cores, *command], cwd=ROOT, stdout=subprocess.PIPE)

    @contextmanager
    def moving(self, url: str) -> Iterator[list[int]]:
        """Upload and download files during the block. After it, the list has their number."""
        command = ["taskset", "-c", self.load_cores, sys.executable, "-m", "bench.moving", "--to", url]
        moved: list[int] = []
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as moving:
            assert moving.stdout is not None
            try:
                moving.stdout.readline()  # the first file was moved: from now on there is load
                yield moved
            finally:
                moving.terminate()
            moved.append(moving.stdout.read().count("moved"))

    @contextmanager
    def control(self) -> Iterator[str]:
        """Run a server that discards files, in place of the service."""
        port = free_port()
        command = [sys.executable, "-m", "bench.moving", "--swallow", str(port)]
        with Child(command, log=self.scratch / "control.log", cores=self.load_cores) as child:
            child.until(lambda: listening(port))
            yield f"http://127.0.0.1:{port}"


def _goes_first(pid: int) -> bool:
    """Raise the priority of Redis on its core, if that is permitted; otherwise print that Redis may have to wait."""
    try:
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(REDIS_PRIORITY))
    except PermissionError:
        return False
    return True


def measured(stage: Stage, seconds: float) -> dict[str, Any]:
    """One round."""
    quiet = stage.probes(seconds)
    with stage.control() as url, stage.moving(url):
        control = stage.probes(seconds)
    with stage.server.client() as redis:
        redis.config_set("slowlog-log-slower-than", HOLD_US)
        redis.slowlog_reset()
        with stage.moving(stage.service.url) as moved:
            busy = stage.probes(seconds)
        slow = [f"{each['command'].split()[0].decode()}: {each['duration']} us" for each in redis.slowlog_get(100)]
    return {
        "quiet": quiet,
        "control": control,
        "busy": busy,
        "files": moved[0],
        "seconds": seconds,
        "times": round(busy["redis"]["p99"] / quiet["redis"]["p99"], 2),
        "growth_bytes": busy["resident_bytes"] - quiet["resident_bytes"],
        "held_too_long": slow,
        "goes_first": stage.first,
    }


def figures(latencies: Sequence[float]) -> dict[str, float]:
    cuts = quantiles(latencies, n=100)
    return {"p50": round(cuts[49] * 1000, 3), "p99": round(cuts[98] * 1000, 3)}


def verdict(rounds: Sequence[dict[str, Any]]) -> tuple[bool, str]:
    """Return True if the round was within all bounds, and a sentence about it.

    The bounds are `WITHIN` for Redis (median of the rounds) and `GROWTH` for the worker; nothing may block Redis.
    """
    times = sorted(each["times"] for each in rounds)
    growth = max(each["growth_bytes"] for each in rounds)
    held = [slow for each in rounds for slow in each["held_too_long"]]
    files, seconds = (sum(each[name] for each in rounds) for name in ("files", "seconds"))
    good = median(times) <= WITHIN and growth < GROWTH and not held and files > 0
    return good, (
        f"{files} files up and down in {seconds:g} s; p99 of Redis {median(times):.1f} x quiet ({times[0]:.1f} to "
        f"{times[-1]:.1f}); the worker grew by {growth / MEBIBYTE:.0f} MiB; "
        f"held Redis for 5 ms: {', '.join(held) or 'none'}"
    )


def report(rounds: Sequence[dict[str, Any]]) -> str:
    """Return the medians over the rounds, in ms; for the p99 also the smallest and the largest value."""
    rows = []
    for who in ("redis", "service"):
        for state in ("quiet", "control", "busy"):
            p50, p99 = ([each[state][who][name] for each in rounds] for name in ("p50", "p99"))
            spread = f"{min(p99):.2f} to {max(p99):.2f}"
            rows.append([f"{who}, {state}", f"{median(p50):.2f}", f"{median(p99):.2f}", spread])
    return table(["ms", "p50", "p99", "p99, range"], rows)


def one_round(seconds: float) -> dict[str, Any]:
    where = placement()
    load = where.client if where.client != where.redis else where.server
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        path = Path(scratch)
        with (
            RedisServer(path, where.redis) as server,
            Polystow(path, where.server, redis_url=server.url) as service,
        ):
            return measured(Stage(server, service, (load, where.redis), path), seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="python -m bench.files", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"[{ROUNDS}]")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of each third of a round [{SECONDS:g}]")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where to write [bench/results]")
    parsed = parser.parse_args(given)
    try:
        rounds = [one_round(parsed.seconds) for _ in range(parsed.rounds)]
    except Unusable as error:
        print(f"bench.files: {error}", file=sys.stderr)
        return 1
    good, said = verdict(rounds)
    print(report(rounds), said, sep="\n\n")
    write(parsed.out, "files", given, {"rounds": rounds})
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
