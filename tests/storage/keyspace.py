"""Reads the keys of a Redis directly, without the code under test; and the collection that tests use."""

import time
from typing import Any

import hiredis

from service.storage import keys
from service.storage.records.record import Record
from service.storage.root import Storage
from tests.servers import RedisProcess

NAMESPACE = "acme"
COLLECTION = keys.collection("ainoflow", NAMESPACE, "orders", "cusn")
RECORD = COLLECTION.record
INDEXES = {COLLECTION.index("c"), COLLECTION.index("s")}  # of a collection that was never listed in another order
REGISTRIES = {COLLECTION.registry, keys.NAMESPACES}
USAGE = keys.usage("ainoflow", NAMESPACE)
ME = "api_key_123"
EXPIRES = """
local function now() local time = redis.call('TIME') return time[1] * 1000 + math.floor(time[2] / 1000) end
local before, left = now(), redis.call('PTTL', KEYS[1])
return {before, left, now()}
"""
LIMIT = 10 * 1024 * 1024  # bytes: the largest body that the service lets through


class Keyspace:
    def __init__(self, redis: RedisProcess) -> None:
        self.command = redis.command

    def names(self) -> set[str]:
        """Return the names of all keys."""
        return {key.decode() for key in self.command("KEYS", "*")}

    def scores(self, key: str) -> dict[str, int]:
        """Return the members and scores of a sorted set."""
        pairs = self.command("ZRANGE", key, 0, -1, "WITHSCORES")
        return {member.decode(): int(score) for member, score in pairs}

    def indexes(self) -> dict[str, dict[str, int]]:
        """Return the indexes of PLACE by letter, without empty ones; its expiry set is `x`."""
        found = {key[-1]: self.scores(key) for key in (*COLLECTION.indexes, COLLECTION.expiry)}
        return {letter: scores for letter, scores in found.items() if scores}

    def record(self, id: str) -> Record:
        return Record.unpack(self.command("GET", RECORD(id)))

    def header(self, id: str) -> bytes:
        packed = self.command("GET", RECORD(id))
        return bytes(packed[: packed[0] + 1])

    def expires(self, id: str) -> int:
        """Return the expiry of a key in Redis (ms since the epoch), -1 if it has none."""
        before = left = after = 0
        while not before == after > 0:  # repeated until all is in one millisecond, so that the sum is exact
            before, left, after = self.command("EVAL", EXPIRES, 1, RECORD(id))
        return left if left < 0 else int(before + left)

    def plant(self, id: str, **scores: int) -> None:
        """Write scores of an id into indexes, by the letter of the index."""
        for letter, score in scores.items():
            self.command("ZADD", f"{COLLECTION.tag}{letter}", score, id)

    def plant_many(self, ids: list[str], **scores: int) -> None:
        for letter, score in scores.items():
            self.command("ZADD", f"{COLLECTION.tag}{letter}", *(word for id in ids for word in (score, id)))

    def now(self) -> int:
        """Return Redis's clock in microseconds."""
        seconds, micros = self.command("TIME")
        return int(seconds) * 1_000_000 + int(micros)

    def wait_past(self, ms: int) -> None:
        """Wait until Redis's clock is past a millisecond."""
        while self.now() // 1000 <= ms:
            time.sleep(0.001)


def numbered(count: int) -> list[str]:
    return [f"k{number:05}" for number in range(count)]


async def listed_in_all_orders(storage: Storage) -> None:
    """Ask for a list in each order, so that the collection keeps all indexes if it has a record."""
    for kind in COLLECTION.kinds:
        await storage.records.page(COLLECTION, kind, 0, 1)


def ids(listed: Any) -> list[str]:
    return [one.id for one in listed]


def words(packed: bytes) -> list[bytes]:
    """Return the words of an encoded command."""
    reader = hiredis.Reader()
    reader.feed(packed)
    found: list[bytes] = reader.gets()
    assert reader.gets() is False  # nothing comes after it
    return found
