"""The part `memory`: bytes that a record takes in Redis, part by part, as a multiple of its payload.

Ids have 32 hexadecimal digits, like those that the service generates. The parts are the MEMORY USAGE of the
record and of each index; the rest of the growth of `used_memory` are the hash tables of the database. Records are
weighed as they are written, and again after a list in each order, which fills the indexes that such a list needs.
"""

import asyncio
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any, cast

from bench.compare.workloads import SIZES, SMALL
from bench.documents import document
from bench.filling import collection_named, fill, opened
from bench.placement import Placement
from bench.redis_server import RedisServer
from bench.results import table

PAYLOADS = (SMALL, SIZES["1k"], SIZES["10k"])
LARGEST_TOTAL = 200 * 1024 * 1024  # limit of the payload, in bytes
RECORDS = 100_000
QUICK_RECORDS = 5000
SAMPLED = 1000
LIFETIME = "+86400000"  # a day
INDEX_NAMES = {"c": "created", "u": "updated", "s": "size", "n": "name"}


def run(
    placement: Placement, directory: Path, *, quick: bool, say: Callable[[str], None]
) -> tuple[str, dict[str, Any]]:
    """Measure, and return a table and the figures. Raises Unusable."""
    found = []
    for payload, lifetime, listed in product(PAYLOADS, ("", LIFETIME), (False, True)):
        records = min(QUICK_RECORDS if quick else RECORDS, LARGEST_TOTAL // payload)
        say(f"memory: {records:,} records of {_case(payload, expires=bool(lifetime), listed=listed)}")
        with RedisServer(directory, placement.redis) as server:
            found.append(weighed(server, payload, records, lifetime, listed=listed))
    return _table(found), {"quick": quick, "records": found}


def _case(payload: int, *, expires: bool, listed: bool) -> str:
    return f"{payload:,} B{', expires' if expires else ''}{', listed in all orders' if listed else ''}"


def weighed(server: RedisServer, payload: int, records: int, lifetime: str, *, listed: bool) -> dict[str, Any]:
    """Return the bytes of one of so many records. `lifetime` has the format of storage."""

    async def filled(count: int) -> None:
        async with opened(server.url) as (_, storage):
            await fill(storage, collection, count, document(payload), lifetime=lifetime, name=name)
            for kind in collection.kinds if listed else ():
                await storage.records.page(collection, kind, 0, 1)

    def name(number: int) -> str:
        return f"{number:032x}"

    collection = collection_named("weighed")
    asyncio.run(filled(1))  # scripts, and everything else that exists only once
    before = server.info("memory")["used_memory"]
    asyncio.run(filled(records))
    total = (server.info("memory")["used_memory"] - before) / (records - 1)
    with server.client() as client:

        def usage(key: str) -> int:
            return cast(int, client.memory_usage(key, samples=0) or 0)

        sampled = range(0, records, max(1, records // SAMPLED))
        parts = {"record": mean(usage(collection.record(name(i))) for i in sampled)}
        for kind, key in zip(collection.kinds, collection.indexes, strict=True):
            parts[INDEX_NAMES[kind]] = usage(key) / records
        parts["expiry"] = usage(collection.expiry) / records
    parts["tables"] = total - sum(parts.values())
    return {
        "payload": payload,
        "expires": bool(lifetime),
        "listed": listed,
        "records": records,
        "bytes": {part: round(each, 1) for part, each in parts.items()},
        "total": round(total, 1),
        "ratio": round(total / payload, 3),
    }


def _table(found: list[dict[str, Any]]) -> str:
    parts = list(found[0]["bytes"])
    rows = [
        [
            _case(each["payload"], expires=each["expires"], listed=each["listed"]),
            *(f"{each['bytes'][part]:,.0f}" for part in parts),
            f"{each['total']:,.0f}",
            f"{each['ratio']:.2f}",
        ]
        for each in found
    ]
    return table(["payload", *parts, "bytes in all", "x payload"], rows)
