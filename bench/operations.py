"""`python -m bench.operations`: each Lua operation alone, in microseconds of Redis's time.

The figure is the time in INFO commandstats after a CONFIG RESETSTAT and a run of that one operation: the script with
all its commands, without reading the request and writing the reply. During this time the operation blocks Redis for all
other clients.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import uvloop

from bench.documents import document
from bench.filling import CALLER, collection_named, fill, opened
from bench.placement import placement
from bench.processes import Unusable
from bench.redis_server import RedisServer
from bench.results import RESULTS, table, write
from service.storage.keys import Collection
from service.storage.records.conditions import ANYTHING
from service.storage.records.records import SWEEP_MEMBERS
from service.storage.records.scoped import ONE_BYTES
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts import library

SIZES = (125, 1024, 10 * 1024, 100 * 1024)
FEW = 1000
MANY = 1_000_000
ITEMS = 50  # items of a page
LARGE = 1024 * 1024
AT_ONCE = 50
SWEEPS = 10
DUE_MS = 1500


@dataclass(frozen=True, slots=True)
class Bench:
    """A collection of `count` records, "0" to `count - 1`, and one run on it."""

    storage: Storage
    collection: Collection
    count: int
    body: bytes
    random: Random

    @property
    def anyone(self) -> str:
        """Return the id of one of the records."""
        return str(self.random.randrange(self.count))

    def write(self, id: str) -> Write:
        return Write(self.collection, id, CALLER)


Act = Callable[[Bench, int], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation. `act` executes it once, with the number of the turn; the time of the commands `counted` counts."""

    title: str
    script: str
    act: Act
    sized: bool = False  # True if it is measured at each of SIZES
    counted: tuple[str, ...] = ("fcall",)
    times: int = 500
    before: Callable[[Bench], Awaitable[object]] | None = None


async def page(bench: Bench, offset: int) -> None:
    await bench.storage.records.page(bench.collection, "c", offset, ITEMS)


async def read_page(bench: Bench, _: int) -> None:
    _, listed = await bench.storage.records.page(bench.collection, "c", 0, ITEMS)
    async for _records in bench.storage.records.read_listed(bench.collection, listed):
        pass


async def read_some(bench: Bench, _: int) -> None:
    await bench.storage.scoped.read_many([bench.collection], [bench.anyone for _ in range(ITEMS)], "", most=ONE_BYTES)


async def fall_due(bench: Bench) -> None:
    """Store the expired members that the sweeps will find."""
    lifetime = f"+{DUE_MS}"
    await fill(
        bench.storage, bench.collection, SWEEPS * SWEEP_MEMBERS, bench.body, lifetime=lifetime, name="due-{}".format
    )
    await asyncio.sleep(DUE_MS / 1000 + 0.1)


async def large(bench: Bench, turn: int) -> None:
    await bench.storage.records.publish(bench.write(f"large-{turn}"), document(LARGE), ANYTHING)


OPERATIONS = (
    Operation("get (a bare GET)", "", lambda b, _: b.storage.records.get(b.collection, b.anyone), True, ("get",)),
    Operation("create", "create", lambda b, i: b.storage.records.create(b.write(f"a-{i}"), b.body), True),
    Operation("put, new", "put", lambda b, i: b.storage.records.put(b.write(f"b-{i}"), b.body), True),
    Operation("put, existing", "put", lambda b, _: b.storage.records.put(b.write(b.anyone), b.body), True),
    Operation(
        "merge",
        "merge",
        lambda b, i: b.storage.records.merge(b.write(b.anyone), b'{"count":%d}' % (10 + i % 90), 1 << 24),
        True,
    ),
    Operation(
        "append",
        "append",
        lambda b, _: b.storage.scoped.append(b.write(b.anyone), b'{"count":11}', 1 << 24),
        True,
    ),
    Operation(
        "grant, 2 subjects", "grant", lambda b, _: b.storage.grants.grant(b.collection, {CALLER: "rwd", "b": "r"}, 1)
    ),
    Operation("permit", "permit", lambda b, _: b.storage.grants.permit(b.collection, CALLER, "w")),
    Operation(f"read, {ITEMS} records", "read", read_some, True, times=100),
    Operation(
        "discard, 1 record",
        "discard",
        lambda b, i: b.storage.scoped.discard(Write(b.collection, subject=CALLER), [f"b-{i}"]),
    ),
    Operation("delete", "delete", lambda b, i: b.storage.records.delete(b.write(f"a-{i}")), True),
    Operation(f"page of {ITEMS} ids, the first", "page", lambda b, _: page(b, 0)),
    Operation(f"page of {ITEMS} ids, from the middle", "page", lambda b, _: page(b, b.count // 2)),
    Operation(f"records of a page of {ITEMS}", "", read_page, True, ("mget",), 100),
    Operation("count", "count", lambda b, _: b.storage.records.count(b.collection)),
    Operation(
        f"sweep, {SWEEP_MEMBERS} due",
        "sweep",
        lambda b, _: b.storage.records.sweep(b.collection),
        False,
        times=SWEEPS,
        before=fall_due,
    ),
    Operation("examine", "examine", lambda b, _: b.storage.records.examine(b.collection, b.anyone, repair=False)),
    Operation("publish, 1 MB", "publish", large, False, ("fcall", "set"), 20),
    Operation("register", "register", lambda b, _: b.storage.records.register(b.collection)),
    Operation("adjust_usage", "adjust_usage", lambda b, _: b.storage.records.adjust_usage(b.collection, 1, 100)),
    Operation("throttle", "throttle", lambda b, i: b.storage.rates.throttle("bench", CALLER, 1_000_000, 1.0)),
)


async def timed(server: RedisServer, operation: Operation, bench: Bench) -> float:
    """Return the microseconds of Redis's time for one operation."""
    if operation.before:
        await operation.before(bench)
    times = min(operation.times, 100) if len(bench.body) > 50_000 else operation.times
    with server.client() as client:
        client.config_resetstat()
    for start in range(0, times, AT_ONCE):
        turns = range(start, min(start + AT_ONCE, times))
        await asyncio.gather(*(operation.act(bench, turn) for turn in turns))
    stats = server.info("commandstats")
    return sum(float(stats[f"cmdstat_{name}"]["usec"]) for name in operation.counted) / times


async def measure(server: RedisServer, many: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure all operations: at each size in a small collection, and at the smallest size in one of `many` records."""
    found: list[dict[str, Any]] = [{"operation": each.title, "us": {}} for each in OPERATIONS]
    async with opened(server.url) as (_, storage):
        for size in SIZES:
            bench = await _filled(storage, FEW, size, say)
            for operation, row in zip(OPERATIONS, found, strict=True):
                if operation.sized or size == SIZES[0]:
                    row["us"][str(size)] = round(await timed(server, operation, bench), 1)
        bench = await _filled(storage, many, SIZES[0], say)
        for operation, row in zip(OPERATIONS, found, strict=True):
            row["many_us"] = round(await timed(server, operation, bench), 1)
            row["growth"] = round(row["many_us"] / max(row["us"][str(SIZES[0])], 0.1), 2)
    return found


async def _filled(storage: Storage, count: int, size: int, say: Callable[[str], None]) -> Bench:
    say(f"stores {count:,} records of {size:,} bytes")
    collection, body = collection_named(f"of-{count}-{size}"), document(size)
    await fill(storage, collection, count, body)
    return Bench(storage, collection, count, body, Random(count))


def tabled(found: list[dict[str, Any]], many: int) -> str:
    head = ["microseconds of Redis", *(f"{size:,} B" for size in SIZES), f"125 B, {many:,} records", "growth"]
    rows = [
        [row["operation"], *(row["us"].get(str(size), "") for size in SIZES), row["many_us"], row["growth"]]
        for row in found
    ]
    return table(head, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="python -m bench.operations", description=__doc__.splitlines()[0])
    parser.add_argument("--many", type=int, default=MANY, help=f"records of the large collection [{MANY}]")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where to write [bench/results]")
    parsed = parser.parse_args(given)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            where = placement()
            with RedisServer(Path(scratch), where.redis) as server:
                found = uvloop.run(measure(server, parsed.many, say))
    except Unusable as error:
        print(f"bench.operations: {error}", file=sys.stderr)
        return 1
    print(tabled(found, parsed.many))
    left = sorted(set(library.installed().scripts) - {each.script for each in OPERATIONS})
    print(f"\nNot measured: {', '.join(left)}.")
    write(parsed.out, "operations", given, {"few": FEW, "many": parsed.many, "operations": found, "left": left})
    return 0


if __name__ == "__main__":
    sys.exit(main())
