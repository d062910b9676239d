"""Tests connections to servers that take longer for the handshake than one attempt to connect may take at first."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import hiredis
import pytest

from service.redis import cluster, lane, wire
from service.redis.client import Redis
from service.redis.errors import NotSent

FIRST_SECONDS = 0.1  # of the first attempt
DELAY = 0.25  # before each answer
ENOUGH_SECONDS = 60.0  # for all attempts, also on a slow machine


@pytest.fixture(autouse=True)
def short_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (wire, lane, cluster):
        monkeypatch.setattr(module, "CONNECT_SECONDS", FIRST_SECONDS)
    monkeypatch.setattr(cluster, "LOOK_SECONDS", FIRST_SECONDS)
    monkeypatch.setattr(wire, "LONGEST_CONNECT_SECONDS", ENOUGH_SECONDS)


@asynccontextmanager
async def node(delay: float, primary: int | None = None) -> AsyncIterator[int]:
    """Run a node that answers after `delay` seconds, and yield its port. It names the port `primary`, or its own."""

    talks = set[asyncio.Task[None]]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader()
        try:
            while data := await reader.read(1000):
                parser.feed(data)
                while command := parser.gets():
                    await asyncio.sleep(delay)
                    writer.write(answers.get(tuple(command[:2]), b"+OK\r\n"))
        finally:
            writer.transport.abort()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.create_task(talk(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    named = primary or port
    answers = {
        (b"CLUSTER", b"INFO"): b"$23\r\ncluster_current_epoch:1\r\n",
        (b"CLUSTER", b"SLOTS"): b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n" % named,
    }
    async with server:
        try:
            yield port
        finally:
            for each in talks:
                each.cancel()
            await asyncio.gather(*talks, return_exceptions=True)
            await asyncio.sleep(0)  # transports close in the next turn of the loop


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
async def test_an_attempt_to_connect_that_took_too_long_is_followed_by_a_longer_one(scheme: str) -> None:
    async with node(DELAY) as port:
        client = Redis.open(f"{scheme}://:password@127.0.0.1:{port}")
        try:
            await client.connect(ENOUGH_SECONDS)
            assert await client.execute("SET", "k", "v", key="k", write=True) == b"OK"
        finally:
            await client.close()


async def test_the_failure_to_connect_to_a_cluster_names_a_primary_and_the_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        primary = silent.getsockname()[1]
        async with node(0, primary) as port:
            client = Redis.open(f"redis+cluster://:password@127.0.0.1:{port}")
            try:
                message = "not connected yet"
                while "not connected yet" in message:  # on a slow machine, no attempt may have ended in a second
                    with pytest.raises(NotSent) as failure:
                        await client.connect(1.0)
                    message = str(failure.value)
            finally:
                await client.close()
    assert f": redis://:***@127.0.0.1:{primary}/0: " in message


def test_an_attempt_after_another_failure_has_the_shortest_time() -> None:
    assert wire.next_limit(1.0, TimeoutError()) == 2.0
    assert wire.next_limit(ENOUGH_SECONDS, TimeoutError()) == ENOUGH_SECONDS
    assert wire.next_limit(1.0, ConnectionRefusedError()) == FIRST_SECONDS
