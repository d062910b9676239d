"""`python -m bench.feed`: the delay from a write's acknowledgement to the sockets of its category's followers.

Writers put documents at a steady rate, each on a connection of its own, while followers read the category as
server-sent events. The client stores everything that followers receive with its time, and parses it after the end, so
that it needs little time during the measurement. All times are of one clock. If a change arrives before its write is
acknowledged, its delay counts as 0.
"""

import argparse
import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import monotonic

import uvloop

from bench.placement import placement
from bench.polystow import ACCESS, KEY, PROJECT, Polystow
from bench.processes import Unusable

CATEGORY = "followed"
HEAD = f"Host: bench\r\nAuthorization: Bearer {KEY}\r\n"
LIMIT = 1_000_000

_number = re.compile(rb'"value":\{"n":(\d+)\}')


class Run:
    """The times of acknowledgements, by the number in each document, and what each follower received, by time."""

    def __init__(self, host: str, port: int) -> None:
        self.place = host, port
        self.acknowledged: dict[int, float] = {}
        self.received: list[list[tuple[float, bytes]]] = []
        self.sent = 0
        self.over = False

    async def write(self, key: int, interval: float) -> None:
        """Put one document repeatedly, once in each interval."""
        reader, writer = await asyncio.open_connection(*self.place)
        due = monotonic() + interval * key / 100
        while not self.over:
            await asyncio.sleep(due - monotonic())
            due += interval
            self.sent += 1
            number = self.sent
            body = b'{"n":%d}' % number
            head = f"PUT /api/v1/storage/json/{CATEGORY}/k{key} HTTP/1.1\r\n{HEAD}Content-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"}")
            self.acknowledged[number] = monotonic()
            if not answer.startswith(b"HTTP/1.1 200"):
                raise Unusable(f"a write was refused: {answer.decode()}")
        writer.close()

    async def follow(self) -> None:
        """Receive the changes that are made from now on."""
        reader, writer = await asyncio.open_connection(*self.place, limit=LIMIT)
        writer.write(f"GET /api/v1/storage/changes/{CATEGORY}?since=now HTTP/1.1\r\n{HEAD}".encode())
        writer.write(b"Accept: text/event-stream\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise Unusable(f"the feed was refused: {head.decode()}")
        received: list[tuple[float, bytes]] = []
        self.received.append(received)
        try:
            while piece := await reader.read(LIMIT):
                received.append((monotonic(), piece))
        finally:
            writer.close()

    def delays(self) -> tuple[list[float], int]:
        """Return the sorted delays of all changes at all followers, and the number of changes that did not arrive."""
        found: list[float] = []
        missing = 0
        for received in self.received:
            whole, ends, at = bytearray(), list[tuple[int, float]](), 0
            for when, piece in received:
                whole += piece
                ends.append((len(whole), when))
            seen = set()
            for match in _number.finditer(whole):
                while ends[at][0] < match.end():
                    at += 1
                number = int(match[1])
                seen.add(number)
                if number in self.acknowledged:
                    found.append(max(0.0, ends[at][1] - self.acknowledged[number]))
            missing += len(self.acknowledged.keys() - seen)
        return sorted(found), missing


async def measure(host: str, port: int, options: argparse.Namespace) -> Run:
    run = Run(host, port)
    followers = [asyncio.create_task(run.follow()) for _ in range(options.followers)]
    while len(run.received) < options.followers:
        await asyncio.sleep(0.01)
        for follower in followers:
            if follower.done():
                follower.result()
    interval = options.writers / options.rate
    writers = [asyncio.create_task(run.write(key, interval)) for key in range(options.writers)]
    await asyncio.sleep(options.seconds)
    run.over = True
    await asyncio.gather(*writers)
    await asyncio.sleep(1)
    for follower in followers:
        follower.cancel()
    await asyncio.gather(*followers, return_exceptions=True)
    return run


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.feed", description=__doc__)
    parser.add_argument("--rate", type=int, default=5000, help="changes a second [5000]")
    parser.add_argument("--writers", type=int, default=50, help="connections that write [50]")
    parser.add_argument("--followers", type=int, default=4, help="connections that follow [4]")
    parser.add_argument("--seconds", type=float, default=10, help="how long [10]")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    options = arguments(given)
    journal = {"entries": 1_000_000}
    ACCESS["ainoflow"]["projects"] = [{"id": PROJECT, "journal": journal}]  # type: ignore[index]
    try:
        with tempfile.TemporaryDirectory(prefix="feed-") as scratch, Polystow(Path(scratch)) as service:
            host, _, port = service.url.removeprefix("http://").partition(":")
            run = uvloop.run(measure(host, int(port), options))
    except Unusable as error:
        print(f"feed: {error}", file=sys.stderr)
        return 1
    found, missing = run.delays()
    if not found:
        print("feed: no change arrived", file=sys.stderr)
        return 1
    result = {
        "changes a second": round(len(run.acknowledged) / options.seconds),
        "followers": options.followers,
        "delay in ms": {
            "median": round(1000 * median(found), 2),
            "p99": round(1000 * found[int(len(found) * 0.99)], 2),
            "most": round(1000 * found[-1], 2),
        },
        "missing": missing,
        "placement": placement().note,
    }
    print(json.dumps(result, indent=2))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
