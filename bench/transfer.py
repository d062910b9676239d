"""`python -m bench.transfer`: exports 1,000,000 documents and imports them into an empty store, beside a service.

A service runs on each store meanwhile. A light client sends it GETs and PUTs at a fixed rate, first without other load
and then during the export or import. Each answer is timed from the moment at which its request was due, so a late
request counts, too. The exit status is 1 if a bound is exceeded: the seconds of the command, its peak memory, or the
ratio of the client's 99th percentiles with and without the command.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import uvloop

from bench.filling import collection_named, fill, opened
from bench.placement import Placement, placement
from bench.polystow import KEY, Polystow
from bench.processes import Child, Unusable, peak_bytes
from bench.redis_server import RedisServer

SECONDS, MEMORY, TIMES = 60.0, 150, 3.0  # bounds: of a command's time, of its peak in MB, of the ratio
QUIET_SECONDS = 20.0
RATE = 200  # requests of the light client in a second
CONNECTIONS, KEYS = 8, 500  # connections and keys of the light client
BODY = b'{"a":"%b"}' % (b"x" * 192)
HEAD = f"Host: bench\r\nAuthorization: Bearer {KEY}\r\n"


@dataclass(frozen=True, slots=True)
class Moved:
    """One export or import. Times of the light client are 99th percentiles in ms."""

    command: str
    seconds: float
    documents_a_second: int
    peak_mb: int
    quiet_p99: float
    p99: float
    requests: int

    def broken(self) -> list[str]:
        """Return the exceeded bounds, as texts."""
        found = []
        if self.seconds > SECONDS:
            found.append(f"{self.command} took {self.seconds} s, more than {SECONDS:g}")
        if self.peak_mb > MEMORY:
            found.append(f"{self.command} used {self.peak_mb} MB, more than {MEMORY}")
        if self.p99 > TIMES * self.quiet_p99:
            found.append(f"{self.command}: p99 {self.p99} ms, more than {TIMES:g} times {self.quiet_p99} ms")
        return found


class Light:
    """The light client: GETs and PUTs in turn, of documents in a category of its own."""

    def __init__(self, url: str, category: str) -> None:
        self._host, _, port = url.removeprefix("http://").partition(":")
        self._port = int(port)
        self._path = f"/api/v1/storage/json/{category}"
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> None:
        """Open the connections, and store the documents."""
        for _ in range(CONNECTIONS):
            connection = await asyncio.open_connection(self._host, self._port)
            self._writers.append(connection[1])
            self._free.put_nowait(connection)
        for key in range(KEYS):
            await self._ask("PUT", key)

    async def _ask(self, method: str, key: int) -> float:
        """Send one request, read its answer, and return the time of its arrival."""
        connection = await self._free.get()
        reader, writer = connection
        body = BODY if method == "PUT" else b""
        head = f"{method} {self._path}/k{key} HTTP/1.1\r\n{HEAD}Content-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length or 0))
        arrived = monotonic()
        if not answer.startswith(b"HTTP/1.1 20"):
            raise Unusable(f"{method}: {answer.decode()}")
        self._free.put_nowait(connection)
        return arrived

    async def until(self, over: Callable[[], bool]) -> list[float]:
        """Send requests at the fixed rate until `over` is set. Return the sorted times in ms."""
        asked: list[asyncio.Task[float]] = []
        began = monotonic()

        async def one(number: int, due: float) -> float:
            return (await self._ask("PUT" if number % 2 else "GET", number * 7 % KEYS) - due) * 1000

        while not over():
            due = began + len(asked) / RATE
            await asyncio.sleep(due - monotonic())
            asked.append(asyncio.create_task(one(len(asked), due)))
        return sorted(await asyncio.gather(*asked))

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)


def percentile(found: Sequence[float]) -> float:
    """Return the 99th percentile of sorted times."""
    if not found:
        raise Unusable("the command ended before the light client sent a request")
    return round(found[min(len(found) - 1, int(len(found) * 0.99))], 2)


class Bench:
    """The whole measurement: `documents` documents are exported from one Redis and imported into another one."""

    def __init__(self, scratch: Path, documents: int, quiet: float, place: Placement) -> None:
        self._scratch, self._documents, self._quiet, self._place = scratch, documents, quiet, place

    def moved(self, command: str, server: RedisServer, arguments: Sequence[str]) -> Moved:
        """Run one command beside a service and its light client."""
        directory = self._scratch / command
        directory.mkdir()
        with Polystow(directory, self._place.server, redis_url=server.url, workers=1) as service:
            return uvloop.run(self._beside(command, service.url, [*arguments, "--redis", server.url]))

    async def _beside(self, command: str, url: str, arguments: Sequence[str]) -> Moved:
        light = Light(url, f"light-{command}")
        try:
            await light.connect()
            end = monotonic() + self._quiet
            quiet = await light.until(lambda: monotonic() >= end)
            return await self._measured(command, light, percentile(quiet), arguments)
        finally:
            await light.close()

    async def _measured(self, command: str, light: Light, quiet: float, arguments: Sequence[str]) -> Moved:
        began, peak = monotonic(), 0
        full = [sys.executable, "-m", "service", command, str(self._scratch / "all.ndjson.zst"), *arguments]
        log = self._scratch / f"{command}.log"
        with Child(full, log=log, cores=self._place.server) as child:

            def over() -> bool:
                nonlocal peak
                status = child.status()
                if status is None:
                    peak = max(peak, peak_bytes(child.pid))
                elif status:
                    raise Unusable(f"{command} ended with {status}:\n{log.read_text()[-2000:]}")
                return status is not None

            beside = await light.until(over)
        seconds = monotonic() - began
        rate = round(self._documents / seconds)
        return Moved(command, round(seconds, 1), rate, peak // 1_000_000, quiet, percentile(beside), len(beside))

    def run(self) -> list[Moved]:
        """Fill a store, export it, and import it into an empty one."""
        redis = self._place.redis
        with RedisServer(self._scratch, redis) as full:
            uvloop.run(self._filled(full.url))
            exported = self.moved("export", full, [])
        with RedisServer(self._scratch, redis) as empty:
            imported = self.moved("import", empty, [])
        return [exported, imported]

    async def _filled(self, url: str) -> None:
        async with opened(url) as (_, storage):
            await fill(storage, collection_named("filled"), self._documents, BODY)


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.transfer", description=__doc__)
    parser.add_argument("--documents", type=int, default=1_000_000, help="how many [1000000]")
    parser.add_argument("--quiet", type=float, default=QUIET_SECONDS, help="seconds of the quiet time [20]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file too")
    options = parser.parse_args(given)
    place = placement()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            found = Bench(Path(scratch), options.documents, options.quiet, place).run()
    except Unusable as error:
        print(f"transfer: {error}", file=sys.stderr)
        return 1
    broken = [bound for moved in found for bound in moved.broken()]
    figures: dict[str, Any] = {
        "documents": options.documents,
        "placement": f"export and import share the server's cores; {place.note}; the light client is on any core",
        "moved": [asdict(moved) for moved in found],
        "broken": broken,
    }
    said = json.dumps(figures, indent=2)
    print(said)
    if options.json:
        options.json.write_text(said + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
