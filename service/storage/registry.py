"""Registers namespaces and collections, and walks over them and over the members of an index.

Registries are supersets (lua/register.lua): a registered collection may be empty. A walk has short steps, and
visits everything that exists during the whole walk.
"""

from collections.abc import AsyncIterator

from service.storage import keys
from service.storage.keys import Collection
from service.storage.scripts.reply import for_ever
from service.storage.scripts.runner import Runner

STEP = 1000  # members per command: below 1 ms of Redis's time


async def name(runner: Runner, dialect: str, namespace: str, kinds: str) -> None:
    """Register a namespace, and the kinds of index that its collections have."""
    member = keys.namespace(dialect, namespace)
    await runner.command("HSET", keys.NAMESPACES, member, kinds, key=keys.NAMESPACES, write=True)


async def namespaces(runner: Runner) -> dict[tuple[str, str], str]:
    """Return dialect and name of every namespace, and the kinds of index that its collections have."""
    found = {}
    async for member, kinds in scan(runner, "HSCAN", keys.NAMESPACES):
        found[keys.parse_namespace(member)] = kinds
    return found


async def collections(runner: Runner, dialect: str, namespace: str, kinds: str) -> dict[Collection, str]:
    """Return the registered collections of a namespace, and the time of each one's last registration (us)."""
    found = {}
    async for name, seen in scan(runner, "ZSCAN", keys.registry(dialect, namespace)):
        found[keys.collection(dialect, namespace, name, kinds)] = seen
    return found


async def scan(runner: Runner, command: str, key: str) -> AsyncIterator[tuple[str, str]]:
    """Walk over the pairs of a hash or a sorted set that does not expire. A pair may be visited twice if the key is
    changed meanwhile.
    """
    cursor = b"0"
    while True:
        cursor, pairs = await runner.command(command, key, cursor, "COUNT", STEP, key=key, until=for_ever)
        for first, second in zip(pairs[::2], pairs[1::2], strict=True):
            yield first.decode(), second.decode()
        if cursor == b"0":
            return


async def stored_keys(runner: Runner) -> AsyncIterator[list[str]]:
    """Walk over all keys of all servers, a portion at a time. A key may be visited twice."""
    for lane in runner.redis.lanes:
        cursor = b"0"
        while True:
            cursor, found = await lane.execute("SCAN", cursor, "COUNT", STEP, write=False)
            yield [key.decode(errors="replace") for key in found]
            if cursor == b"0":
                break


async def sizes(runner: Runner, collection: Collection) -> tuple[int, int]:
    """Return the number of records in the index of sizes, and the sum of their bytes."""
    documents = size = 0
    async for _, weight in scan(runner, "ZSCAN", collection.index("s")):
        documents, size = documents + 1, size + int(weight)
    return documents, size
