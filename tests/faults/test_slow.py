"""Tests that slow and hostile clients together hold little memory of a worker, and that others are served meanwhile."""

import asyncio
from typing import cast

import pytest

from service.http import backpressure as backpressure
from service.http.backpressure import HELD_BYTES, IncomingBodies, Reader, SlowReaders
from service.storage.errors import Unavailable
from tests.fast_path.rig import Transport
from tests.faults.slow import ATTACKS, under
from tests.raw_http import DOCUMENTS, connected, request
from tests.running import Running


@pytest.mark.parametrize(
    ("attack", "connections"), [("heads", 200), ("bodies", 25), ("readers", 25), ("pipelines", 200)]
)
async def test_memory_stays_bounded_and_others_are_served(attack: str, connections: int) -> None:
    with Running() as running:
        await asyncio.to_thread(running.wait_ready)
        seen = await under(running, ATTACKS[attack], connections)
    # What is held is bounded by HELD_BYTES. For a moment, making large answers needs several times as much.
    assert seen.most - seen.before < 4 * HELD_BYTES


async def test_a_head_that_never_ends_is_closed_with_its_connection() -> None:
    with Running(keepalive_seconds=1) as running:
        await asyncio.to_thread(running.wait_ready)
        async with connected(running) as wire:
            await wire.send(request("GET", f"{DOCUMENTS}/c/k")[:-2])
            assert await wire.rest() == b""


def test_arriving_bodies_share_one_limit_of_memory_and_release_it() -> None:
    incoming = IncomingBodies(100)
    with incoming.body() as one, incoming.body() as other:
        one.add(b"x" * 60)
        other.add(b"x" * 40)
        with pytest.raises(Unavailable):
            other.add(b"x")
        assert incoming.held == 100
    assert incoming.held == 0


class Waiting(Transport):
    """A transport that has `left` bytes to send."""

    left = 0

    def get_write_buffer_size(self) -> int:
        return self.left

    def abort(self) -> None:
        self.closed = True


class Client:
    def __init__(self, left: int) -> None:
        self.transport = Waiting()
        self.transport.left = left


def add(slow_readers: SlowReaders, left: int) -> Waiting:
    client = Client(left)
    slow_readers.add(cast(Reader, client))
    return client.transport


async def test_over_the_limit_the_slowest_of_the_clients_that_do_not_read_is_closed() -> None:
    slow_readers = SlowReaders(100)
    first, second, third = add(slow_readers, 50), add(slow_readers, 50), add(slow_readers, 1)
    assert [first.closed, second.closed, third.closed] == [True, False, False]
    alone = SlowReaders(100)
    assert not add(alone, 1000).closed  # a single answer may be larger than the bound


async def test_a_slow_reader_is_served_and_a_client_that_does_not_read_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backpressure, "UNREAD_SECONDS", 1.0)
    slow_readers = SlowReaders(100_000)
    slow, still = add(slow_readers, 10_000), add(slow_readers, 10_000)
    while not still.closed:
        slow.left -= 1
        await asyncio.sleep(0.01)
    assert not slow.closed
