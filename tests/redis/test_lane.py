"""Tests a lane to a server without faults."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.redis.errors import NotSent, Overloaded, Rejected
from service.redis.lane import EAGER_COMMANDS
from tests.redis.conftest import Open
from tests.running import soon
from tests.servers import Certificates, RedisProcess

MIB = 1024 * 1024


async def test_replies_are_returned_as_redis_sent_them(redis: RedisProcess, lane_to: Open) -> None:
    lane = await lane_to(redis.url)
    assert await lane.execute("SET", "k", b"\x00\xff\r\n", write=True) == b"OK"
    assert await lane.execute("GET", b"k", write=False) == b"\x00\xff\r\n"
    assert await lane.execute("GET", "none", write=False) is None
    assert await lane.execute("INCRBY", "n", 41, write=True) == 41
    assert await lane.execute("INCRBYFLOAT", "n", 0.5, write=True) == b"41.5"
    assert await lane.execute("MGET", "k", "none", write=False) == [b"\x00\xff\r\n", None]


async def test_an_error_reply_is_rejected_with_its_word(redis: RedisProcess, lane_to: Open) -> None:
    lane = await lane_to(redis.url)
    script = "return redis.error_reply('DENIED ' .. ARGV[1])"
    with pytest.raises(Rejected, match="DENIED you may not") as refusal:
        await lane.execute("EVAL", script, 0, "you may not", write=True)
    assert refusal.value.word == "DENIED"
    with pytest.raises(Rejected) as refusal:
        await lane.execute("FCALL", "nothing", 0, write=True)
    assert refusal.value.message == "ERR Function not found"


async def test_an_error_inside_a_script_has_the_same_word_on_every_version(redis: RedisProcess, lane_to: Open) -> None:
    lane = await lane_to(redis.url)
    script = "redis.call('SET', KEYS[1], 'x'); return redis.call('LPUSH', KEYS[1], 'y')"
    with pytest.raises(Rejected) as refusal:
        await lane.execute("EVAL", script, 1, "k", write=True)
    assert refusal.value.word == "WRONGTYPE"


async def test_commands_of_a_tick_are_written_together_and_answered_in_order(
    redis: RedisProcess, lane_to: Open
) -> None:
    lane = await lane_to(redis.url)
    written: list[bytes] = []
    transport = lane._wire.transport
    lane._wire.transport = Recorder(transport, written)
    sent, trips = lane.commands, lane.round_trips
    answers = await asyncio.gather(*(lane.execute("ECHO", str(n), write=False) for n in range(500)))
    assert answers == [str(n).encode() for n in range(500)]
    assert len(written) == -(-500 // EAGER_COMMANDS)
    assert (lane.commands - sent, lane.round_trips - trips) == (500, len(written))


class Recorder:
    """A transport that also records what is written."""

    def __init__(self, transport: Any, written: list[bytes]) -> None:
        self._transport = transport
        self._written = written

    def write(self, data: bytes) -> None:
        self._written.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


async def test_many_tasks_at_once_each_get_their_own_replies(redis: RedisProcess, lane_to: Open) -> None:
    lane = await lane_to(redis.url)

    async def caller(name: int) -> None:
        for number in range(100):
            await lane.execute("SET", f"k{name}", number, write=True)
            assert await lane.execute("GET", f"k{name}", write=False) == str(number).encode()

    await asyncio.gather(*(caller(name) for name in range(30)))
    assert lane.round_trips < lane.commands / 10
    assert lane.depth == 0


async def test_large_values_among_small_ones_are_complete(redis: RedisProcess, lane_to: Open) -> None:
    lane = await lane_to(redis.url)
    value = bytes(range(256)) * (20 * MIB // 256)
    before, stored, after = await asyncio.gather(
        lane.execute("ECHO", "before", write=False),
        lane.execute("SET", "big", value, write=True),
        lane.execute("ECHO", "after", write=False),
    )
    assert (before, stored, after) == (b"before", b"OK", b"after")
    answers = await asyncio.gather(
        *(lane.execute(*command, write=False) for command in (("ECHO", "1"), ("GET", "big"), ("ECHO", "2")))
    )
    assert answers == [b"1", value, b"2"]


async def test_writing_stops_while_the_connection_is_full_and_nothing_is_lost(own: RedisProcess, lane_to: Open) -> None:
    lane = await lane_to(own.url)
    own.pause()
    futures = [lane.execute("SET", f"k{n}", bytes([n]) * MIB, write=True) for n in range(24)]
    await soon(lambda: asyncio.sleep(0, lane._pending.waiting))
    assert lane.depth == 24
    own.resume()
    assert await asyncio.gather(*futures) == [b"OK"] * 24
    assert await lane.execute("GETRANGE", "k23", 0, 1, write=False) == bytes([23, 23])


async def test_a_cancelled_caller_does_not_shift_the_replies_of_others(redis: RedisProcess, lane_to: Open) -> None:
    lane = await lane_to(redis.url)
    futures = [lane.execute("ECHO", str(n), write=False) for n in range(10)]
    futures[1].cancel()
    await asyncio.sleep(0)
    futures[4].cancel()
    kept = [n for n in range(10) if n not in (1, 4)]
    assert await asyncio.gather(*(futures[n] for n in kept)) == [str(n).encode() for n in kept]
    assert lane.depth == 0


async def test_over_its_limit_a_lane_refuses_at_once_and_sends_nothing(redis: RedisProcess, lane_to: Open) -> None:
    lane = await lane_to(redis.url, max_commands=10)
    accepted = [lane.execute("INCR", "n", write=True) for _ in range(10)]
    refused = lane.execute("INCR", "n", write=True)
    assert isinstance(refused.exception(), Overloaded)
    assert await asyncio.gather(*accepted) == list(range(1, 11))
    assert await lane.execute("GET", "n", write=False) == b"10"


async def test_the_limit_on_bytes_refuses_commands_that_would_fill_memory(redis: RedisProcess, lane_to: Open) -> None:
    lane = await lane_to(redis.url, max_bytes=MIB)
    accepted = lane.execute("SET", "k", b"x" * (MIB - 100), write=True)
    assert isinstance(lane.execute("SET", "k", b"y" * 200, write=True).exception(), Overloaded)
    assert await accepted == b"OK"


async def test_a_closed_lane_refuses_with_a_message(redis: RedisProcess, lane_to: Open) -> None:
    lane = await lane_to(redis.url)
    waiting = lane.execute("GET", "k", write=False)
    await lane.close()
    with pytest.raises(NotSent, match="closed"):
        await waiting
    with pytest.raises(NotSent, match="closed"):
        await lane.execute("GET", "k", write=False)


@pytest.mark.parametrize("password", ["", "p@ss/w:rd #1"])
async def test_a_lane_connects_over_tcp_with_and_without_a_password(binary: Path, lane_to: Open, password: str) -> None:
    with RedisProcess(binary, tcp=True, password=password) as process:
        lane = await lane_to(process.url)
        assert await lane.execute("SET", "k", "v", write=True) == b"OK"


async def test_a_database_and_an_acl_user_of_the_url_are_used(own: RedisProcess, lane_to: Open) -> None:
    own.command("ACL", "SETUSER", "keeper", "on", ">secret", "~ours:*", "+@all", "-@dangerous")
    lane = await lane_to(own.url.replace("unix://", "unix://keeper:secret@") + "?db=3")
    assert b"user=keeper" in own.command("CLIENT", "LIST")
    await lane.execute("SET", "ours:1", "x", write=True)
    assert own.command("DBSIZE") == 0
    with pytest.raises(Rejected) as refusal:
        await lane.execute("GET", "theirs:1", write=False)
    assert refusal.value.word == "NOPERM"


async def test_a_lane_tells_the_server_its_name(redis: RedisProcess, lane_to: Open) -> None:
    await lane_to(redis.url)
    assert b"name=polystow" in redis.command("CLIENT", "LIST")


async def test_a_wrong_password_is_reported_at_once_without_quoting_it(binary: Path, lane_to: Open) -> None:
    with RedisProcess(binary, tcp=True, password="right") as process:
        for wrong in (process.url.replace("right", "wrong"), process.url.replace(":right@", "")):
            lane = await lane_to(wrong, connect=False)
            with pytest.raises(NotSent, match=r"cannot connect to redis://.*(?i:password|auth)") as failure:
                await asyncio.wait_for(lane.connect(60), 10)
            assert "wrong" not in str(failure.value)


@pytest.fixture
def encrypted(binary: Path, certificates: Certificates) -> Iterator[RedisProcess]:
    """A server that takes TLS connections."""
    with RedisProcess(binary, tls=certificates) as process:
        yield process


async def test_tls_is_used_also_after_a_lost_connection(encrypted: RedisProcess, lane_to: Open) -> None:
    lane = await lane_to(encrypted.url)
    value = bytes(range(256)) * 8192
    assert await lane.execute("SET", "k", value, write=True) == b"OK"
    encrypted.command("CLIENT", "KILL", "TYPE", "normal")
    answers = await asyncio.gather(*(lane.execute("GET", "k", write=False) for _ in range(10)))
    assert answers == [value] * 10
    assert lane.reconnects == 1


async def test_an_untrusted_certificate_is_reported_at_once(encrypted: RedisProcess, lane_to: Open) -> None:
    lane = await lane_to(encrypted.url.partition("?")[0], connect=False)
    with pytest.raises(NotSent, match="CERTIFICATE_VERIFY_FAILED"):
        await asyncio.wait_for(lane.connect(60), 10)


async def test_a_plain_connection_to_a_tls_port_fails_with_a_message(encrypted: RedisProcess, lane_to: Open) -> None:
    lane = await lane_to(encrypted.url.partition("?")[0].replace("rediss", "redis"), connect=False)
    with pytest.raises(NotSent, match="cannot connect to redis://localhost"):
        await lane.connect(0.5)
