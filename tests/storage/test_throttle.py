"""Tests throttle: allows a number of requests in a time, with a burst of the same number."""

import pytest

from service.storage import keys
from service.storage.errors import Throttled
from service.storage.root import Storage
from tests.storage.keyspace import ME, Keyspace

BUCKET = keys.rate("ainoflow", ME)


async def allowed(storage: Storage, requests: int, seconds: float, most: int) -> int:
    """The number of requests in a row that are let through, `most` at the most."""
    for n in range(most):
        try:
            await storage.rates.throttle("ainoflow", ME, requests, seconds)
        except Throttled:
            return n
    return most


@pytest.mark.parametrize(("requests", "seconds"), [(1, 600), (5, 600), (100, 3600.5)])
async def test_a_burst_of_the_whole_rate_is_allowed_and_no_more(
    storage: Storage, requests: int, seconds: float
) -> None:
    assert await allowed(storage, requests, seconds, requests + 10) == requests


async def test_a_refusal_tells_when_the_next_request_is_allowed(storage: Storage) -> None:
    assert await allowed(storage, 2, 100, 5) == 2
    with pytest.raises(Throttled, match=r"^rate limit exceeded$") as refused:
        await storage.rates.throttle("ainoflow", ME, 2, 100)
    assert 45 < refused.value.retry_after <= 50


async def test_the_next_request_is_allowed_after_that_time(storage: Storage, keyspace: Keyspace) -> None:
    refusal = None
    while refusal is None:
        try:
            await storage.rates.throttle("ainoflow", ME, 10, 1)
        except Throttled as throttled:
            refusal = throttled
    keyspace.wait_past(keyspace.now() // 1000 + int(refusal.retry_after * 1000) + 1)
    await storage.rates.throttle("ainoflow", ME, 10, 1)


async def test_a_refused_request_does_not_delay_the_next_one(storage: Storage) -> None:
    await storage.rates.throttle("ainoflow", ME, 1, 1000)
    waits = []
    for _ in range(3):
        with pytest.raises(Throttled) as refused:
            await storage.rates.throttle("ainoflow", ME, 1, 1000)
        waits.append(refused.value.retry_after)
    assert waits == sorted(waits, reverse=True)


async def test_callers_do_not_share_a_rate(storage: Storage) -> None:
    for caller in ("a", "b", "a:b", "{a}"):
        await storage.rates.throttle("ainoflow", caller, 1, 1000)
    await storage.rates.throttle("avaamo", "a", 1, 1000)


async def test_a_rate_above_one_request_per_microsecond_works(storage: Storage) -> None:
    assert await allowed(storage, 10_000_000, 1, 50) == 50


async def test_the_state_of_a_rate_expires(storage: Storage, keyspace: Keyspace) -> None:
    await storage.rates.throttle("ainoflow", ME, 10, 100)
    assert 0 < keyspace.command("PTTL", BUCKET) <= 10_000


async def test_only_the_expected_keys_remain(storage: Storage, keyspace: Keyspace) -> None:
    await storage.rates.throttle("ainoflow", ME, 1, 100)
    assert keyspace.names() == {BUCKET}
    assert 90_000 < keyspace.command("PTTL", BUCKET) <= 100_000
