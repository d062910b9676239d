"""Tests batches while Redis and workers are killed: each is atomic, and an acknowledged one is carried out once."""

from typing import Any

import pytest

from tests.faults.batching import Account, write_batches
from tests.faults.groups import DUE, REFUSED, Group
from tests.faults.stand import standing
from tests.lengths import either


def changes(group: Group, *numbers: int) -> list[dict[str, Any]]:
    """Return the changes of these batches in the format of a feed."""
    return [
        {"op": op, "key": key, "version": version or 1} | ({} if value is None else {"value": {"n": value}})
        for number in numbers
        for op, key, version, value in group.changes(number)
    ]


def items(state: dict[str, int]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"n": number}} for key, number in state.items()]


@pytest.mark.parametrize(("sent", "last"), [(2, 2), (3, 2), (3, 3)])
def test_atomic_batches_are_no_violation(sent: int, last: int) -> None:
    account, group = Account(), Group("g", 5, sent, 2)
    assert account.judge(group, items(group.state(last))) == last
    account.judge_journal(group, changes(group, *range(1, last + 1)), last)
    assert not account.wrong


def test_a_partial_or_lost_batch_is_a_violation() -> None:
    group = Group("g", 5, 4, 3)
    half = group.state(3) | {"k1": 4}
    gone = {key: number for key, number in group.state(3).items() if key != "k1"}
    refused = group.state(3) | {"k1": REFUSED}
    made = group.state(3) | {"absent": REFUSED}
    for flaw in (half, gone, refused, made, group.state(3) | {DUE: 2}, group.state(2), group.state(5), {}):
        account = Account()
        account.judge(group, items(flaw))
        assert len(account.wrong) == 1


def receipts(group: Group, number: int) -> list[dict[str, Any]]:
    """The results of a batch, as the service answers them."""
    return [
        {"op": op, "key": key} | ({} if op == "delete" else {"version": version, "etag": "e", "expiresAt": expires})
        for op, key, version, _ in group.entries(number)
        for expires in ["soon" if op in ("put", "patch") or key == DUE else None]
    ]


@pytest.mark.parametrize("key", ["k0", "k1", "made0", DUE])
def test_a_receipt_with_another_expiry_or_version_is_a_violation(key: str) -> None:
    """The wrong receipt is that of a put, a patch or a create: another expiry, or a version that was used before."""
    for flaw in ({"expiresAt": None}, {"expiresAt": "later"}, {"version": 9}):
        group = Group("g", 5)
        assert group.learn(1, receipts(group, 1)) is None
        results = receipts(group, 2)
        assert group.learn(2, results) is None
        if (key == "made0" and flaw == {"expiresAt": None}) or (key in ("k1", DUE) and flaw == {"expiresAt": "later"}):
            continue  # as it must be
        next(each for each in results if each["key"] == key).update(flaw)
        assert group.learn(2, results)


def test_a_document_expires_once_between_two_batches() -> None:
    group = Group("g", 5, 2, 2)
    right = changes(group, 1, 2)
    ended = group.changes(2)[0]
    expired = {"op": ended[0], "key": ended[1], "version": ended[2]}
    for flaw in ([each for each in right if each["op"] != "expire"], [*right, expired, expired], [expired, *right]):
        account = Account()
        account.judge_journal(group, flaw, 2)
        assert account.wrong
    account = Account()
    account.judge_journal(group, [*right, expired], 2)
    assert not account.wrong


def test_a_journal_with_missing_repeated_or_reordered_batches_is_a_violation() -> None:
    group = Group("g", 5, 3, 3)
    right = changes(group, 1, 2, 3)
    flaws = [right[:-1], right[1:], [*right[:5], *right[6:]], changes(group, 1, 2, 2, 3), changes(group, 1, 3, 2)]
    for flaw in [*flaws, [*right[:1], right[2], right[1], *right[3:]]]:
        account = Account()
        account.judge_journal(group, flaw, 3)
        assert account.wrong


@pytest.mark.long
async def test_no_batch_is_partial_while_redis_and_workers_are_killed() -> None:
    async with standing() as stand:
        account = await write_batches(stand, either(300, 5000), clients=12, seed=5, pause=0.6, kills=4)
    print(account)
    assert not account.wrong
    assert account.looks > len(account.groups)
