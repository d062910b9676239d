"""Tests revise: takes a revision of the grants that is higher than all before."""

from service.storage import keys
from service.storage.root import Storage
from tests.servers import RedisProcess
from tests.storage.keyspace import Keyspace
from tests.storage.test_memory_full import full


async def test_a_revision_is_higher_than_all_earlier_ones_and_the_given_one(storage: Storage) -> None:
    """Otherwise no grants could be stored after a failover that lost the latest revisions."""
    assert await storage.grants.revise() == 1
    assert await storage.grants.revise(above=1) == 2
    assert await storage.grants.revise(above=100) == 101
    assert await storage.grants.revise() == 102


async def test_a_revision_can_be_taken_when_memory_is_full(storage: Storage, redis: RedisProcess) -> None:
    with full(redis):
        assert [await storage.grants.revise() for _ in range(3)] == [1, 2, 3]


async def test_only_the_expected_keys_remain_after_revise(
    storage: Storage, redis: RedisProcess, keyspace: Keyspace
) -> None:
    await storage.grants.revise()
    assert keyspace.names() == {keys.REVISION}
    assert (redis.command("GET", keys.REVISION), redis.command("TTL", keys.REVISION)) == (b"1", -1)
