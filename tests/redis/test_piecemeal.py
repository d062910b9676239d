"""Tests that long commands are written a piece at a time."""

import asyncio
from typing import Any
from unittest.mock import Mock

from service.redis.client import Redis
from service.redis.pending import Command
from service.redis.piecemeal import PIECE_BYTES, Piecemeal
from service.redis.wire import pack
from tests.servers import RedisProcess


def piecemeal(closing: bool = False) -> tuple[Piecemeal, list[bytes], Mock]:
    written: list[bytes] = []
    transport = Mock()
    transport.write = lambda data: written.append(bytes(data))
    transport.is_closing = lambda: transport.abort.called
    return Piecemeal(transport), written, transport


async def test_a_short_command_is_written_at_once() -> None:
    out, written, _ = piecemeal()
    out.write(b"a" * PIECE_BYTES)
    assert written == [b"a" * PIECE_BYTES]


async def test_a_long_command_is_written_in_order_over_several_ticks() -> None:
    out, written, _ = piecemeal()
    long = bytes(range(256)) * 512
    out.write(long)
    out.write(b"short")
    assert written == [long[:PIECE_BYTES]]
    turns = 0
    while len(b"".join(written)) < len(long) + 5:
        await asyncio.sleep(0)
        turns += 1
    assert b"".join(written) == long + b"short"
    assert max(map(len, written)) == PIECE_BYTES
    assert turns >= len(long) // PIECE_BYTES - 1
    out.write(b"later")
    assert written[-1] == b"later"


async def test_an_aborted_connection_is_not_written_to_any_more() -> None:
    out, written, transport = piecemeal()
    out.write(bytes(3 * PIECE_BYTES))
    out.abort()
    out.write(bytes(2 * PIECE_BYTES))
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(written) == 1
    transport.abort.assert_called_once()


def bulk(client: Redis, *words: str | bytes, write: bool) -> asyncio.Future[Any]:
    reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    client.send_bulk(Command(reply, pack(words), write, key=words[1]))
    return reply


async def test_long_and_short_commands_keep_their_answers(redis: RedisProcess) -> None:
    client = Redis.open(redis.url, bulk=True)
    await client.connect()
    values = {f"k{n}": bytes([n]) * (n * 50_000) for n in range(12)}
    sets = [bulk(client, "SET", key, value, write=True) for key, value in values.items()]
    gets = [bulk(client, "GET", key, write=False) for key in values]
    assert await asyncio.gather(*sets) == [b"OK"] * 12
    assert await asyncio.gather(*gets) == list(values.values())
    await client.close()
