"""Tests the client that storage uses."""

import asyncio
from typing import Any

import pytest

from service.redis.client import Redis
from service.redis.errors import NotSent
from service.redis.pending import Command
from service.redis.wire import pack
from tests.servers import RedisProcess


async def test_commands_go_to_the_node_of_their_key(redis: RedisProcess) -> None:
    client = Redis.open(redis.url)
    await client.connect()
    assert await client.execute("SET", "k", "v", key="k", write=True) == b"OK"
    assert await client.execute("GET", "k", key=b"k", write=False) == b"v"
    assert [(lane.connected, lane.depth) for lane in client.lanes] == [(True, 0)]
    await client.close()
    assert not client.lanes[0].connected


async def test_on_a_single_server_commands_go_directly_to_the_lane(redis: RedisProcess) -> None:
    client = Redis.open(redis.url)
    assert client.send == client.lanes[0].send
    await client.close()


async def test_the_lane_uses_the_settings(redis: RedisProcess) -> None:
    async def refuse(ask: Any) -> None:
        raise RuntimeError("not on my watch")

    client = Redis.open(redis.url, timeout=0.1, on_connect=refuse)
    with pytest.raises(NotSent, match="not on my watch"):
        await client.connect(2)
    with pytest.raises(NotSent, match="deadline"):
        await client.execute("PING", key="", write=False)
    await client.close()


async def test_an_unusable_url_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(ValueError, match="must name the service"):
        Redis.open("redis+sentinel://h")


async def test_a_ping_is_answered_by_the_server_or_fails(redis: RedisProcess, own: RedisProcess) -> None:
    client = Redis.open(redis.url)
    await client.connect()
    before = client.total("commands")
    await client.ping()
    assert client.total("commands") == before + 1
    await client.close()
    own.kill()
    away = Redis.open(own.url, timeout=0.1)
    with pytest.raises(NotSent):
        await away.ping()
    await away.close()


async def test_long_commands_have_their_own_connection_if_requested(redis: RedisProcess) -> None:
    prepared: list[Any] = []

    async def prepare(ask: Any) -> None:
        prepared.append(await ask("PING"))

    client = Redis.open(redis.url, on_connect=prepare, bulk=True)
    await client.connect()
    assert len(client.lanes) == len(prepared) == 1
    before = client.total("commands"), client.lanes[0].commands
    reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    client.send_bulk(Command(reply, pack(("SET", "k", "v")), True, key="k"))
    assert await reply == b"OK"
    assert (client.total("commands"), client.lanes[0].commands) == (before[0] + 1, before[1])
    await client.close()
    without = Redis.open(redis.url)
    assert without.send_bulk == without.send
    await without.close()
