"""Tests page: lists ids in the order of an index, exactly, also while records expire."""

from statistics import median

import pytest

from service.storage.errors import SweepNeeded
from service.storage.records.records import SWEEP_MEMBERS
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from tests.lengths import either
from tests.storage.keyspace import (
    COLLECTION,
    INDEXES,
    ME,
    RECORD,
    REGISTRIES,
    Keyspace,
    ids,
    listed_in_all_orders,
    numbered,
)


@pytest.fixture
async def filled(storage: Storage) -> Storage:
    """Store ten records with falling sizes; write k00003 again at the end."""
    for n, id in enumerate(numbered(10)):
        await storage.records.put(Write(COLLECTION, id, ME), b'"%s"' % (b"x" * (100 - n)))
    await storage.records.put(Write(COLLECTION, "k00003", ME), b'"%s"' % (b"x" * 97))
    return storage


ORDERS = {
    "c": numbered(10),
    "u": [id for id in numbered(10) if id != "k00003"] + ["k00003"],
    "s": numbered(10)[::-1],
    "n": numbered(10),
}


@pytest.mark.parametrize("kind", ORDERS)
@pytest.mark.parametrize("limit", [1, 3, 10, 1000])
async def test_all_pages_together_are_the_whole_order(filled: Storage, kind: str, limit: int) -> None:
    for descending in (False, True):
        found = []
        for offset in range(0, 10, limit):
            total, listed = await filled.records.page(COLLECTION, kind, offset, limit, descending=descending)
            assert total == 10
            assert len(listed) == min(limit, 10 - offset)
            found += ids(listed)
        assert found == (ORDERS[kind][::-1] if descending else ORDERS[kind])


async def test_equal_scores_are_ordered_by_the_bytes_of_the_id_in_both_directions(storage: Storage) -> None:
    names = ["b", "a", "B", "aa", "é", "z", "Z", "\U0001f600", "a b", "~", "0", "00", "\x01"]
    for name in names:
        await storage.records.put(Write(COLLECTION, name, ME), b"[]")
    expected = sorted(names, key=str.encode)
    for kind in ("s", "n"):
        assert ids((await storage.records.page(COLLECTION, kind, 0, 100))[1]) == expected
        assert ids((await storage.records.page(COLLECTION, kind, 0, 100, descending=True))[1]) == expected[::-1]


async def test_each_id_comes_with_the_size_of_its_record(filled: Storage) -> None:
    _, listed = await filled.records.page(COLLECTION, "n", 0, 10)
    assert [one.size for one in listed] == [102 - n if n != 3 else 99 for n in range(10)]


@pytest.mark.parametrize("offset", [10, 11, 1_000_000, 1 << 50])
async def test_a_page_past_the_end_is_empty_with_the_true_total(filled: Storage, offset: int) -> None:
    assert await filled.records.page(COLLECTION, "c", offset, 50) == (10, [])


async def test_an_unknown_collection_is_empty(storage: Storage, keyspace: Keyspace) -> None:
    assert await storage.records.page(COLLECTION, "c", 0, 50) == (0, [])
    assert keyspace.names() == set()


async def test_expired_records_are_never_listed(storage: Storage, keyspace: Keyspace) -> None:
    """Every second record expires, more than one sweep removes; the next page is exact."""
    count = 2 * SWEEP_MEMBERS + 200
    for n, id in enumerate(numbered(count)):
        saved = await storage.records.put(Write(COLLECTION, id, ME, lifetime="+300" if n % 2 else ""), b"[]")
        last = saved.expires or 0
    last = max(keyspace.indexes()["x"].values())
    keyspace.wait_past(last)
    total, listed = await storage.records.page(COLLECTION, "n", 10, 5)
    assert (total, ids(listed)) == (count // 2, numbered(count)[20:30:2])
    assert "x" not in keyspace.indexes()


async def test_records_that_expire_later_are_listed(storage: Storage) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME, lifetime="+60000"), b"[]")
    await storage.records.put(Write(COLLECTION, "b", ME), b"[]")
    total, listed = await storage.records.page(COLLECTION, "n", 0, 10)
    assert (total, ids(listed)) == (2, ["a", "b"])


async def test_a_page_is_answered_while_records_expire_all_the_time(
    storage: Storage, keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records expire between each sweep and the page after it. The page is of the moment of the sweep."""
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    await listed_in_all_orders(storage)
    sweeps = 0
    sweep = storage.records.sweep

    async def sweep_too_early(collection):  # type: ignore[no-untyped-def]
        nonlocal sweeps
        sweeps += 1
        swept = await sweep(collection)
        keyspace.plant(f"late{sweeps}", x=swept.at // 1000, c=1, u=1, s=1, n=0)
        keyspace.wait_past(swept.at // 1000)
        return swept

    keyspace.plant("early", x=1, c=1, u=1, s=1, n=0)
    monkeypatch.setattr(storage.records, "sweep", sweep_too_early)
    total, listed = await storage.records.page(COLLECTION, "n", 0, 10)
    assert (total, ids(listed), sweeps) == (2, ["a", "late1"], 1)


async def test_the_script_refuses_while_expired_members_are_in_the_index(
    storage: Storage, runner: Runner, keyspace: Keyspace
) -> None:
    keyspace.plant("early", x=1, c=1, u=1, s=1, n=0)
    names = (COLLECTION.index("n"), COLLECTION.index("c"), COLLECTION.index("s"), COLLECTION.expiry)
    with pytest.raises(SweepNeeded):
        await runner.run("page", names, offset=0, limit=10, descending=0, moment="", prefix="", score="", last="")


async def test_only_the_expected_keys_remain(filled: Storage, keyspace: Keyspace) -> None:
    before = keyspace.names()
    await filled.records.page(COLLECTION, "c", 0, 50)
    assert keyspace.names() == before == {RECORD(id) for id in numbered(10)} | INDEXES | REGISTRIES


@pytest.mark.parametrize("descending", [False, True])
async def test_a_page_continues_after_an_id_that_was_removed(
    storage: Storage, keyspace: Keyspace, descending: bool
) -> None:
    """Ids with one score are found by a binary search, in the order of their bytes."""
    names = sorted([*numbered(50), "B", "a", "\x01", "é", "\U0001f600"], key=str.encode)
    for score, group in ((5, names[::2]), (7, names[1::2])):
        keyspace.plant_many(group, s=score, c=score)
    order = names[::2] + names[1::2]
    for gone in (names[0], names[9], names[-1], names[-2]):
        score = 5 if gone in names[::2] else 7
        for kind in "cs":
            keyspace.command("ZREM", COLLECTION.index(kind), gone)
        at = order.index(gone)
        left = order[:at][::-1] if descending else order[at + 1 :]
        _, listed = await storage.records.page(
            COLLECTION, "s", 0, 1000, descending=descending, score=str(score), last=gone
        )
        assert ids(listed) == left
        keyspace.plant(gone, s=score, c=score)
        _, listed = await storage.records.page(COLLECTION, "s", 0, 3, descending=descending, score=score, last=gone)
        assert ids(listed) == left[:3]


@pytest.mark.long
async def test_the_last_page_costs_as_much_as_the_first(storage: Storage, keyspace: Keyspace) -> None:
    """In the worst case, many documents have one size, and the last one of the former page is gone."""
    names = [f"k{n:07}" for n in range(either(100_000, 1_000_000))]
    late = len(names) - 101
    for begin in range(0, len(names), 10_000):
        keyspace.plant_many(names[begin : begin + 10_000], s=5, n=0)
    keyspace.command("ZREM", COLLECTION.index("s"), names[99], names[late])
    spent: dict[int, list[float]] = {99: [], late: []}
    for _ in range(100):
        for last, times in spent.items():
            keyspace.command("CONFIG", "RESETSTAT")
            _, listed = await storage.records.page(COLLECTION, "s", 0, 100, score="5", last=names[last])
            assert ids(listed)[0] == names[last + 1]
            stats = keyspace.command("INFO", "commandstats")
            times.append(stats["cmdstat_fcall"]["usec_per_call"])
            assert (
                stats["cmdstat_zrange"]["calls"] <= len(names).bit_length() + 2
            )  # the binary search, the page, the earliest expiry
    print({last: f"{median(times)} us" for last, times in spent.items()})
