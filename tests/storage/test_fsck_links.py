"""Tests fsck on grants: a subject that may read a collection and is not linked to it is found, and linked."""

import pytest

from service.dialects import readers
from service.storage import keys
from service.storage.access.links import Links
from service.storage.fsck import check as fsck
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from tests.servers import RedisProcess
from tests.storage.keyspace import Keyspace

READERS = {("auravant", "fields"): "readable fields"}
FIELD = keys.collection("auravant", "fields", "12345", "")


async def check(redis: RedisProcess, *, repair: bool = False) -> list[str]:
    out: list[str] = []
    await fsck.run(redis.url, repair=repair, out=out.append, readers=READERS)
    return out


@pytest.fixture
async def granted(storage: Storage) -> Storage:
    """Grant three subjects read and write, read, or only write on a field, and link those who may read."""
    revision = await storage.grants.revise()
    for user in ("owner", "reader"):
        await storage.links.link("auravant", READERS["auravant", "fields"], user, [FIELD.name], revision)
    await storage.grants.grant(FIELD, {"owner": "rwd", "reader": "r", "writer": "w"}, revision)
    return storage


async def test_grants_with_their_links_have_no_fault(granted: Storage, redis: RedisProcess) -> None:
    assert await check(redis) == ["0 faults found"]


async def test_a_missing_link_is_found_and_added(
    granted: Storage, runner: Runner, redis: RedisProcess, keyspace: Keyspace
) -> None:
    keyspace.command("DEL", keys.links("auravant", "readable fields", "reader"))
    fault = f"{FIELD.acl}: 'reader' may read it and is not linked to it"
    assert await check(redis) == [fault, "1 fault found"]
    assert await check(redis, repair=True) == [fault, "1 fault repaired"]
    assert await check(redis) == ["0 faults found"]
    assert await Links(runner).linked("auravant", "readable fields", "reader") == [FIELD.name]


async def test_a_stale_link_is_no_fault(granted: Storage, redis: RedisProcess) -> None:
    await granted.links.link("auravant", "readable fields", "reader", ["777"])
    assert await check(redis) == ["0 faults found"]


def test_each_dialect_tells_which_grants_need_links() -> None:
    found = readers()
    assert found == {
        **READERS,
        ("auravant", "farms"): "readable farms",
        ("avaamo", "agents"): "agents",
    }
