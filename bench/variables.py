"""`python -m bench.variables`: Redis's time and memory for few and for very many variables of an agent.

The times are Redis's own, as in `bench.operations`; the longest call of each kind is taken from SLOWLOG. There are
variables of 100,000 users with ten keys each. Half of the values are one of seven, and the other half are unique. The
small agent has the first of these variables.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Any

import uvloop

from bench.filling import AT_ONCE, opened
from bench.placement import placement
from bench.processes import Unusable
from bench.redis_server import RedisServer
from bench.results import RESULTS, table, write
from bench.variables_http import requests
from service.storage import keys
from service.storage.keys import Collection
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.variables.variables import PAGE, Filter

FEW = 1000
MANY = 1_000_000
VENDORS = 582_068  # entries that the vendor's example lists one per page
TIMES = 300
SLOW_US = 500  # the longest call is reported if it takes at least so many microseconds
ROUNDS = 20  # rounds of writes to both agents in turn
WRITES = 100  # writes in one round
PARTS = ("lists", "writes", "requests", "clear")

Variable = tuple[int, str, str]  # user, key, value


def variable(number: int) -> Variable:
    plan = ("guest", "member", "premium", "trial", "yes", "no", "en")[number // 10 % 7]
    return number // 10 + 1, f"variable_{number % 10}", plan if number % 2 else f"value {number}"


class Bench:
    """Two agents on one Redis, and the figures that Redis reports."""

    def __init__(self, server: RedisServer, storage: Storage, many: int, say: Callable[[str], None]) -> None:
        self.server, self.storage, self.many, self._say = server, storage, many, say
        self.agents = {count: keys.collection("avaamo", "agents", str(count), "") for count in (FEW, many)}
        self.counts = dict.fromkeys(self.agents, 0)
        self.random = Random(many)

    async def fill(self, size: int, until: int) -> None:
        """Set the variables of an agent, up to this number."""
        collection = self.agents[size]
        self._say(f"sets variables of the agent of {size:,}: {self.counts[size]:,} to {until:,}")
        for start in range(self.counts[size], until, AT_ONCE):
            some = map(variable, range(start, min(start + AT_ONCE, until)))
            await asyncio.gather(*(self.set(collection, each) for each in some))
        self.counts[size] = until

    async def set(self, collection: Collection, each: Variable) -> int:
        return await self.storage.variables.assign(Write(collection, subject="bench"), *each)

    async def select(self, collection: Collection, by: Filter, offset: int, limit: int) -> int:
        total, _ = await self.storage.variables.select(collection, "bench", by, offset, limit)
        return total

    def memory(self) -> int:
        return int(self.server.info("memory")["used_memory"])

    async def timed(self, work: Sequence[Callable[[], Awaitable[object]]]) -> tuple[float, int]:
        """Return the microseconds of Redis's time per call, and those of the longest call."""
        with self.server.client() as client:
            client.config_set("slowlog-log-slower-than", SLOW_US)
            client.slowlog_reset()
            client.config_resetstat()
            for each in work:
                await each()
            stats = self.server.info("commandstats")
            client.config_set("slowlog-log-slower-than", -1)
            log: Any = client.slowlog_get(100)
        longest = max((int(each["duration"]) for each in log if each["command"].startswith(b"FCALL")), default=SLOW_US)
        return float(stats["cmdstat_fcall"]["usec"]) / len(work), longest


def filters(bench: Bench, size: int) -> dict[str, Callable[[], tuple[Filter, int, int]]]:
    """Return the requests for an agent with so many variables, by title: filter, offset, rows of a page."""

    def anyone() -> Variable:
        return variable(bench.random.randrange(size))

    def of(**names: bool) -> Filter:
        user, key, value = anyone()
        return Filter(
            user=user if names.get("user") else None,
            key=key if names.get("key") else None,
            value=value if names.get("value") else None,
            since=1_000_000_000_000_000 if names.get("dates") else 0,
        )

    middle = size // 20
    return {
        "no filter, first page": lambda: (Filter(), 0, 25),
        "no filter, last page": lambda: (Filter(), size - 25, 25),
        "no filter, one per page, last page": lambda: (Filter(), size - 1, 1),
        "no filter, 100 per page, middle": lambda: (Filter(), size // 2, PAGE),
        "dates": lambda: (of(dates=True), 0, 25),
        "key": lambda: (of(key=True), 0, 25),
        "key, a page from the middle": lambda: (of(key=True), middle, 25),
        "value": lambda: (of(value=True), 0, 25),
        "user": lambda: (of(user=True), 0, 25),
        "key and value": lambda: (of(key=True, value=True), 0, 25),
        "key and value and dates": lambda: (of(key=True, value=True, dates=True), 0, 25),
        "user and value": lambda: (of(user=True, value=True), 0, 25),
        "user and key": lambda: (of(user=True, key=True), 0, 25),
        "user and key and value and dates": lambda: (of(user=True, key=True, value=True, dates=True), 0, 25),
    }


async def lists(bench: Bench) -> list[dict[str, Any]]:
    """Measure each filter on both agents."""
    rows: dict[str, dict[str, Any]] = {}
    for size, collection in bench.agents.items():
        for title, ask in filters(bench, size).items():
            asked = [ask() for _ in range(TIMES)]
            us, longest = await bench.timed([partial(bench.select, collection, *each) for each in asked])
            row = rows.setdefault(title, {"list": title})
            row[f"us_{size}"], row[f"longest_{size}"] = round(us, 1), longest
    return list(rows.values())


async def writes(bench: Bench) -> list[dict[str, Any]]:
    """Measure writes to both agents in turns: Redis's time, and the time of a round trip without other load."""
    rows = []
    fresh = iter(range(10**9))

    def new(size: int) -> Variable:
        return next(fresh) + 10**9, "variable_0", "guest"

    def changed(size: int) -> Variable:
        user, key, _ = variable(bench.random.randrange(size))
        return user, key, f"value {next(fresh)}"

    for title, make in (("a new variable", new), ("a new value", changed)):
        us: dict[int, list[float]] = {size: [] for size in bench.agents}
        wall: dict[int, list[float]] = {size: [] for size in bench.agents}
        longest = dict.fromkeys(bench.agents, 0)
        for _ in range(ROUNDS):
            for size, collection in bench.agents.items():
                some = [make(size) for _ in range(WRITES)]
                started = perf_counter()
                mean, most = await bench.timed([partial(bench.set, collection, each) for each in some])
                wall[size].append((perf_counter() - started) / WRITES * 1_000_000)
                us[size].append(mean)
                longest[size] = max(longest[size], most)
        few, many = us
        rows.append(
            {
                "write": title,
                "us_few": round(median(us[few]), 1),
                "us_many": round(median(us[many]), 1),
                "redis_ratio": round(median(b / a for a, b in zip(us[few], us[many], strict=True)), 2),
                "trip_few": round(median(wall[few]), 1),
                "trip_many": round(median(wall[many]), 1),
                "trip_ratio": round(median(b / a for a, b in zip(wall[few], wall[many], strict=True)), 2),
                "longest": longest[many],
            }
        )
    return rows


async def measure(
    server: RedisServer, many: int, parts: Sequence[str], scratch: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    async with opened(server.url) as (_, storage):
        bench = Bench(server, storage, many, say)
        for collection in bench.agents.values():
            await storage.grants.grant(collection, {"bench": "rw"}, await storage.grants.revise())
        await bench.fill(FEW, FEW)
        before = bench.memory()
        found: dict[str, Any] = {}
        collection = bench.agents[many]
        if many > VENDORS:
            await bench.fill(many, VENDORS)
            totals = {await bench.select(collection, Filter(), offset, 1) for offset in (0, VENDORS - 1, VENDORS)}
            found["vendors_totals"] = sorted(totals)
        await bench.fill(many, many)
        found["memory"] = memory(bench, bench.memory() - before)
        if "lists" in parts:
            found["lists"] = await lists(bench)
        if "writes" in parts:
            found["writes"] = await writes(bench)
        if "requests" in parts:
            say("writes over HTTP, in turns")
            found["requests"] = await asyncio.to_thread(requests, server, [*bench.agents], scratch)
        if "clear" in parts:
            us, _ = await bench.timed([lambda: storage.variables.clear(Write(collection, subject="bench"))])
            found["clear"] = {"us": round(us, 1), "left": await bench.select(collection, Filter(), 0, 25)}
    return found


def memory(bench: Bench, taken: int) -> dict[str, float]:
    """Measure the bytes per variable: the payload of key and value, and the share of each of the five keys."""
    collection = bench.agents[bench.many]
    payload = sum(len(key) + len(value) for _, key, value in map(variable, range(bench.many)))
    parts = {
        "listing": keys.listing(collection),
        "lists": keys.lists(collection),
        "newest": keys.newest(collection),
        "names": keys.names(collection),
        "variables": keys.variables(collection),
    }
    with bench.server.client() as client:
        used = {name: float(client.memory_usage(key, samples=1000) or 0) / bench.many for name, key in parts.items()}
    all_of_it = {"in all": taken / bench.many, "payload": payload / bench.many, **used}
    return {name: round(each, 1) for name, each in all_of_it.items()}


def tabled(found: dict[str, Any], many: int) -> str:
    """Return the results as the tables of bench/README.md."""
    told = [table(["bytes a variable", "figure"], found["memory"].items())]
    if "lists" in found:
        told.append(
            table(
                ["microseconds of Redis", f"{FEW:,}", f"{many:,}", "longest"],
                [[row["list"], row[f"us_{FEW}"], row[f"us_{many}"], row[f"longest_{many}"]] for row in found["lists"]],
            )
        )
    if "writes" in found:
        told.append(
            table(
                ["write", f"{FEW:,}: Redis us", f"{many:,}", "ratio", "round trip us", f"{many:,}", "ratio", "longest"],
                [list(row.values()) for row in found["writes"]],
            )
        )
    if "requests" in found:
        told.append(table(["microseconds of a set_storage, new value", "figure"], found["requests"].items()))
    if "clear" in found:
        told.append(f"Clearing {many:,}: {found['clear']['us']} us of Redis's time, {found['clear']['left']} left.")
    told.append(f"Totals at {VENDORS:,} entries, one per page: {found.get('vendors_totals', 'not looked at')}.")
    return "\n\n".join(told)


def only(text: str) -> list[str]:
    """Return the named parts. Raises ValueError for an unknown name, which argparse reports."""
    parts = text.split(",")
    if set(parts) - set(PARTS):
        raise ValueError(text)
    return parts


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="python -m bench.variables", description=__doc__.splitlines()[0])
    parser.add_argument("--many", type=int, default=MANY, help=f"variables of the large agent [{MANY}]")
    parser.add_argument("--only", type=only, default=PARTS, help=f"some of {','.join(PARTS)} [all]")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where to write [bench/results]")
    parsed = parser.parse_args(given)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            where = placement()
            with RedisServer(Path(scratch), where.redis) as server:
                found = uvloop.run(measure(server, parsed.many, parsed.only, Path(scratch), say))
    except Unusable as error:
        print(f"bench.variables: {error}", file=sys.stderr)
        return 1
    print(tabled(found, parsed.many))
    write(parsed.out, "variables", given, {"few": FEW, "many": parsed.many, **found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
