"""Filling of a collection with 1,000,000 records, through the storage core of the service.

It uses one connection, with a thousand scripts in each write. Redis is the limit: 20,000 to 30,000 records a second.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bench.polystow import PROJECT
from service.dialects.ainoflow.parameters import INDEXES, NAME
from service.storage import keys
from service.storage.keys import Collection
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.runner import Runner

AT_ONCE = 1000
CALLER = "bench"


def collection_named(name: str) -> Collection:
    """Return a collection of the project that `bench.polystow` gives access to, with all four indexes."""
    return keys.collection(NAME, PROJECT, name, INDEXES)


@asynccontextmanager
async def opened(redis_url: str) -> AsyncIterator[tuple[Runner, Storage]]:
    """Open a storage core on that Redis."""
    runner = Runner.open(redis_url, timeout=60.0)
    await runner.redis.connect()
    try:
        yield runner, Storage(runner)
    finally:
        await runner.redis.close()


async def fill(
    storage: Storage,
    collection: Collection,
    count: int,
    body: bytes,
    *,
    lifetime: str = "",
    name: Callable[[int], str] = str,
) -> None:
    """Store `count` records, numbered from 0. `name` makes their ids; `lifetime` is that of storage."""

    async def store(number: int) -> None:
        await storage.records.put(Write(collection, name(number), CALLER, lifetime=lifetime), body)

    await store(0)  # registers the collection
    for start in range(1, count, AT_ONCE):
        await asyncio.gather(*map(store, range(start, min(start + AT_ONCE, count))))
