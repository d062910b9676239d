"""Tests permit: checks whether a caller may write, before the steps that lead to a write."""

import pytest

from service.storage import keys
from service.storage.access.grants import Grants
from service.storage.errors import Denied, Undeclared
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from tests.servers import RedisProcess
from tests.storage.keyspace import Keyspace
from tests.storage.test_grant import FIELD, LARGE


async def test_a_subject_with_the_verb_is_permitted(runner: Runner) -> None:
    grants = Grants(runner)
    await grants.grant(FIELD, {"owner": "rwd", "reader": "r"}, 1)
    for verb in "rwd":
        await grants.permit(FIELD, "owner", verb)
    await grants.permit(FIELD, "reader", "r")
    for subject, verb in (("reader", "w"), ("reader", "d"), ("stranger", "r"), ("owne", "r"), ("owner", "x")):
        with pytest.raises(Denied) as caught:
            await grants.permit(FIELD, subject, verb)
        assert not isinstance(caught.value, Undeclared)
    await grants.grant(FIELD, None, 2)
    for collection in (FIELD, keys.collection("auravant", "fields", "other", "")):
        with pytest.raises(Undeclared):
            await grants.permit(collection, "owner", "r")


async def test_only_the_expected_keys_remain_after_permit(runner: Runner, keyspace: Keyspace) -> None:
    with pytest.raises(Undeclared):
        await Grants(runner).permit(FIELD, "owner", "r")
    assert keyspace.names() == set()


async def test_a_large_body_is_not_staged_without_write_permission(storage: Storage, redis: RedisProcess) -> None:
    await storage.grants.grant(FIELD, {"reader": "r"}, 1)
    redis.command("CONFIG", "RESETSTAT")
    for write in (storage.records.put, storage.records.create):
        with pytest.raises(Denied):
            await write(Write(FIELD, "a", "me", subject="reader"), LARGE)
    stats = redis.command("INFO", "commandstats")
    assert "cmdstat_set" not in stats
