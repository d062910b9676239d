"""Tests unregister: removes an empty collection from its registry, and hides no record in any order of steps.

A writer registers (r) and writes with this registration (w). A cleaner reads the registry (s), finds the collection
empty (e) and unregisters it (u). The test tries every order of these five steps, with registrations of every age.
"""

from itertools import permutations

import pytest

from service.storage.errors import Unregistered
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from tests.storage.keyspace import COLLECTION, INDEXES, RECORD, REGISTRIES, Keyspace
from tests.storage.test_register import HOUR, TEN_MINUTES, put

ORDERS = ["".join(order) for order in permutations("rwseu") if order.index("s") < order.index("e") < order.index("u")]
WRITING = [order for order in ORDERS if order.index("r") < order.index("w")]


async def test_an_empty_collection_is_unregistered_an_hour_after_its_registration(
    storage: Storage, keyspace: Keyspace
) -> None:
    seen = await storage.records.register(COLLECTION)
    assert not await storage.records.unregister(COLLECTION, seen, int(seen) + HOUR - 1)
    assert set(keyspace.scores(COLLECTION.registry)) == {"orders"}
    assert await storage.records.unregister(COLLECTION, seen, int(seen) + HOUR)
    assert keyspace.scores(COLLECTION.registry) == {}


async def test_a_collection_that_was_registered_again_stays_registered(storage: Storage, keyspace: Keyspace) -> None:
    seen = await storage.records.register(COLLECTION)
    await storage.records.register(COLLECTION)
    assert not await storage.records.unregister(COLLECTION, seen, int(seen) + 2 * HOUR)
    assert set(keyspace.scores(COLLECTION.registry)) == {"orders"}


async def test_an_unregistered_collection_cannot_be_unregistered(storage: Storage) -> None:
    assert not await storage.records.unregister(COLLECTION, "1", 2 * HOUR)


@pytest.mark.parametrize("age", [0, TEN_MINUTES - 5_000_000, TEN_MINUTES + 1, HOUR, 2 * HOUR])
@pytest.mark.parametrize("order", WRITING)
async def test_no_order_of_writing_and_unregistering_hides_a_record(
    storage: Storage, runner: Runner, keyspace: Keyspace, order: str, age: int
) -> None:
    """`age` (us) is that of an earlier registration, and of the writer's registration if the writer made it."""
    past = keyspace.now() - age
    keyspace.command("ZADD", COLLECTION.registry, past, COLLECTION.name)
    proof, seen, empty, written = str(past), "", 0, False
    for step in order:
        if step == "r" and age in (0, HOUR):  # with the other ages the writer relies on the registration of old
            proof = await storage.records.register(COLLECTION)
        elif step == "w":
            try:
                await put(runner, proof)
                written = True
            except Unregistered:  # the real writer registers now, and tries again
                await put(runner, await storage.records.register(COLLECTION))
                written = True
        elif step == "s":
            seen = str(keyspace.scores(COLLECTION.registry)[COLLECTION.name])
        elif step == "e":
            swept = await storage.records.sweep(COLLECTION)
            empty = swept.at if swept.left == 0 else 0
        elif step == "u" and empty:
            await storage.records.unregister(COLLECTION, seen, empty)
    assert written
    assert set(keyspace.scores(COLLECTION.registry)) == {"orders"}


async def test_unregistering_after_hours_of_suspension_hides_no_record(
    storage: Storage, runner: Runner, keyspace: Keyspace
) -> None:
    """The cleaner finds the collection empty, a writer with an older registration writes, the cleaner goes on."""
    past = keyspace.now() - TEN_MINUTES + 10_000_000
    keyspace.command("ZADD", COLLECTION.registry, past, COLLECTION.name)
    empty = (await storage.records.sweep(COLLECTION)).at
    await put(runner, str(past))
    assert not await storage.records.unregister(COLLECTION, str(past), empty)


async def test_only_the_expected_keys_remain(storage: Storage, runner: Runner, keyspace: Keyspace) -> None:
    seen = await storage.records.register(COLLECTION)
    await storage.records.unregister(COLLECTION, seen, int(seen) + HOUR)
    assert keyspace.names() == REGISTRIES - {COLLECTION.registry}  # a namespace stays named
    await put(runner, await storage.records.register(COLLECTION))
    assert keyspace.names() == {RECORD("a")} | INDEXES | REGISTRIES
