"""Tests withdraw: removes links, except those that were written again in the meantime."""

from service.storage import keys
from service.storage.access.links import PORTION, Links
from service.storage.scripts.runner import Runner
from tests.storage.keyspace import Keyspace, numbered

KEY = keys.links("auravant", "readable fields", "UID {1}")
ID = ("auravant", "readable fields", "UID {1}")


async def test_links_of_a_later_revision_stay(runner: Runner, keyspace: Keyspace) -> None:
    links = Links(runner)
    await links.link(*ID, ["a", "b", "c"], 5)
    await links.link(*ID, ["b"], 7)
    await links.link(*ID, ["b", "c"], 3)  # by somebody slow
    assert keyspace.scores(KEY) == {"a": 5, "b": 7, "c": 5}
    await links.withdraw(*ID, ["a"], 4)
    assert await links.linked(*ID) == ["a", "b", "c"]
    await links.withdraw(*ID, ["a", "b", "none"], 5)
    assert await links.linked(*ID) == ["b", "c"]
    assert await links.linked("auravant", "readable fields", "UID") == []


async def test_any_number_of_links_can_be_written_and_removed(runner: Runner) -> None:
    links, many = Links(runner), numbered(2 * PORTION + 1)
    await links.link(*ID, many, 1)
    assert await links.linked(*ID) == many
    await links.withdraw(*ID, many[1:], 1)
    assert await links.linked(*ID) == many[:1]


async def test_only_the_expected_keys_remain_after_withdraw(runner: Runner, keyspace: Keyspace) -> None:
    links = Links(runner)
    await links.link(*ID, ["a"], 1)
    assert keyspace.names() == {KEY}
    await links.withdraw(*ID, ["a"], 1)
    assert keyspace.names() == set()
    await links.link(*ID, [])
    await links.withdraw(*ID, [], 1)
    assert keyspace.names() == set()
