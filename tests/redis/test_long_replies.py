"""Tests a Redis that is killed in the turn of its event loop in which it acknowledged a write behind a long reply.

With `appendfsync always`, Redis does not send and receive on one connection in one turn, so its file is written first.
With `everysec` and `no` it does, and the write is lost. A lane has such writes confirmed (redis/confirmation.py).
"""

import asyncio
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from service.redis.errors import Unanswered
from service.redis.lane import EAGER_COMMANDS
from tests.redis.conftest import Open
from tests.redis_turns import A_MOMENT, LONG, Client
from tests.running import soon
from tests.servers import RedisProcess

SECONDS = 60.0  # of a command: Redis is kept busy, killed and started meanwhile, also on a slow machine
PIECES = 300  # more than a Unix socket buffers


def test_with_appendfsync_always_a_write_behind_a_long_reply_survives(binary: Path) -> None:
    with ExitStack() as stack:
        redis = stack.enter_context(RedisProcess(binary, "--appendonly", "yes", "--appendfsync", "always"))
        writer, busy, next_busy = (stack.enter_context(closing(Client(redis))) for _ in range(3))
        writer.send("SET", "long", b"x" * LONG)
        writer.receive(b"+OK\r\n")
        writer.send("GET", "long")
        time.sleep(A_MOMENT)  # Redis has sent what the socket takes, and waits with the rest
        busy.keep_busy()
        time.sleep(A_MOMENT)  # while it is busy, the next turn of its event loop is prepared:
        writer.receive_what_is_there()  # there is room for the rest of the reply,
        writer.send("SET", "written", "1")  # a write to execute,
        next_busy.keep_busy()  # and a script that makes the turn long
        writer.receive(b"+OK\r\n")
        redis.kill()
        redis.start()
        assert redis.command("GET", "written") == b"1"


async def kept_or_not_acknowledged(redis: RedisProcess, write: asyncio.Future[Any]) -> None:
    """Check that Redis, which was started again, has the write if its sender was told so."""
    try:
        assert await write == b"OK"
    except Unanswered:
        return
    assert redis.command("GET", "written") == b"1"


@pytest.mark.parametrize("appendfsync", ["everysec", "no"])
async def test_a_lane_does_not_acknowledge_a_write_that_is_lost(binary: Path, lane_to: Open, appendfsync: str) -> None:
    with ExitStack() as stack:
        redis = stack.enter_context(RedisProcess(binary, "--appendonly", "yes", "--appendfsync", appendfsync))
        busy, next_busy = (stack.enter_context(closing(Client(redis))) for _ in range(2))
        lane = await lane_to(redis.url, timeout=SECONDS)
        await lane.execute("SET", "long", b"x" * LONG, write=True)
        before = lane.commands
        read = lane.execute("GET", "long", write=False)
        await asyncio.sleep(0)
        time.sleep(A_MOMENT)  # noqa: ASYNC251  nothing is read meanwhile
        busy.keep_busy()
        time.sleep(A_MOMENT)  # noqa: ASYNC251
        write = lane.execute("SET", "written", "1", write=True)
        for _ in range(20):  # what is there is received
            await asyncio.sleep(0)
        next_busy.keep_busy()
        await soon(lambda: asyncio.sleep(0, write.done() or lane.commands == before + 3))
        await asyncio.to_thread(redis.kill)
        await asyncio.to_thread(redis.start)
        assert len(await read) == LONG
        await kept_or_not_acknowledged(redis, write)


async def test_a_lane_does_not_acknowledge_a_write_that_is_lost_behind_many_short_replies(
    binary: Path, lane_to: Open
) -> None:
    """A Unix socket of Linux is full of 278 pieces that nobody reads, however short they are."""
    with ExitStack() as stack:
        redis = stack.enter_context(RedisProcess(binary, "--appendonly", "yes", "--appendfsync", "no"))
        busy, next_busy = (stack.enter_context(closing(Client(redis))) for _ in range(2))
        lane = await lane_to(redis.url, timeout=SECONDS)
        earlier = []
        for _ in range(PIECES):
            earlier += [lane.execute("SET", "short", "1", write=True) for _ in range(EAGER_COMMANDS)]
            time.sleep(0.001)  # noqa: ASYNC251  nothing is read meanwhile, and Redis answers them by themselves
        before = lane.commands
        busy.keep_busy()
        time.sleep(A_MOMENT)  # noqa: ASYNC251
        write = lane.execute("SET", "written", "1", write=True)
        for _ in range(20):  # what is there is received
            await asyncio.sleep(0)
        next_busy.keep_busy()
        await soon(lambda: asyncio.sleep(0, write.done() or lane.commands >= before + 3))
        await asyncio.to_thread(redis.kill)
        await asyncio.to_thread(redis.start)
        await asyncio.gather(*earlier, return_exceptions=True)
        await kept_or_not_acknowledged(redis, write)
