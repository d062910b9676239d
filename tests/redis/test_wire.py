"""Tests that redis-py still has the only private name of it that the service uses."""

import asyncio
from importlib.metadata import version

from service.redis import address
from service.redis.wire import take_over
from tests.servers import RedisProcess


class Collector(asyncio.Protocol):
    def __init__(self) -> None:
        self.received = b""
        self.arrived = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.arrived.set()


async def test_the_transport_of_a_redis_py_connection_can_be_taken_over(redis: RedisProcess) -> None:
    """`take_over` was written for redis-py 8.1. If this test fails after an upgrade, change it."""
    connection = address.connection(address.parse(redis.url))
    await connection.connect()  # type: ignore[no-untyped-call]
    writer = connection._writer
    assert isinstance(writer, asyncio.StreamWriter), f"redis-py {version('redis')} keeps its stream elsewhere"
    collector = Collector()
    transport = take_over(connection, collector)
    transport.write(b"PING\r\n")
    await asyncio.wait_for(collector.arrived.wait(), 5)
    assert collector.received == b"+PONG\r\n"
    assert transport.get_protocol() is collector
    await connection.disconnect(nowait=True)
