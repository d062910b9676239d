"""Tests a lane whose server dies, hangs, loads its data, becomes a replica, or sends invalid replies."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from service.redis.errors import NotSent, Rejected, Unanswered
from service.redis.lane import backoff
from tests.redis.conftest import Open
from tests.running import soon
from tests.servers import RedisProcess


async def test_a_killed_redis_loses_no_acknowledged_write_and_callers_need_not_reconnect(
    own: RedisProcess, lane_to: Open
) -> None:
    lane = await lane_to(own.url)
    answered: list[int] = []
    unknown: list[int] = []
    back = asyncio.Event()

    async def writer(first: int) -> None:
        for number in itertools.count(first):
            if back.is_set() and number >= first + 150:
                break
            try:
                await lane.execute("SET", f"k{number}", number, write=True)
                answered.append(number)
            except Unanswered:
                unknown.append(number)
            await asyncio.sleep(0.001)

    writers = [asyncio.create_task(writer(start)) for start in range(0, 10_000_000, 1_000_000)]
    await soon(lambda: asyncio.sleep(0, len(answered) > 500))
    await asyncio.to_thread(own.restart)
    back.set()
    await asyncio.gather(*writers)
    assert len(answered) + len(unknown) >= 1500
    assert len(unknown) <= len(writers)
    stored = await lane.execute("MGET", *(f"k{number}" for number in answered), write=False)
    assert stored == [str(number).encode() for number in answered]
    assert lane.reconnects >= 1


async def test_a_read_in_flight_is_repeated_on_the_next_connection_and_a_write_has_an_unknown_outcome(
    own: RedisProcess, lane_to: Open
) -> None:
    lane = await lane_to(own.url)
    own.pause()
    read = lane.execute("ECHO", "read", write=False)
    write = lane.execute("INCR", "n", write=True)
    await asyncio.sleep(0.02)
    await asyncio.to_thread(own.kill)
    with pytest.raises(Unanswered, match="connection was lost"):
        await write
    late = lane.execute("INCR", "late", write=True)
    await asyncio.to_thread(own.start)
    assert await read == b"read"
    assert await late == 1
    # More than one loss is counted if the dying server has accepted another connection.
    assert lane.retries >= 1
    assert lane.connected


async def test_without_redis_commands_wait_until_their_deadline(own: RedisProcess, lane_to: Open) -> None:
    lane = await lane_to(own.url, timeout=0.3)
    await asyncio.to_thread(own.kill)
    futures = [lane.execute("INCR", "n", write=True) for _ in range(3)]
    results = await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 5)
    # A command that was written before the loss was noticed may be unanswered. All others were not sent.
    assert all(isinstance(result, NotSent | Unanswered) for result in results)
    with pytest.raises(NotSent, match=r"not sent before the deadline: .*redis.sock"):
        await asyncio.wait_for(lane.execute("INCR", "n", write=True), 5)
    assert (lane.depth, lane.connected) == (0, False)


async def test_a_hanging_redis_is_given_up_at_the_deadline_and_used_again_when_it_is_back(
    own: RedisProcess, lane_to: Open
) -> None:
    lane = await lane_to(own.url, timeout=0.3)
    own.pause()
    write, read = lane.execute("SET", "k", 1, write=True), lane.execute("GET", "k", write=False)
    with pytest.raises(Unanswered, match="deadline"):
        await asyncio.wait_for(write, 5)
    with pytest.raises(NotSent, match="deadline"):
        await asyncio.wait_for(read, 5)
    with pytest.raises(NotSent, match="did not answer for"):
        await asyncio.wait_for(lane.execute("GET", "k", write=False), 5)
    own.resume()
    await lane.connect(10)
    assert await lane.execute("GET", "k", write=False) in (b"1", None)
    assert lane.depth == 0


async def test_a_pause_within_the_deadline_delays_replies_but_shifts_none(own: RedisProcess, lane_to: Open) -> None:
    lane = await lane_to(own.url, timeout=60)
    own.command("CLIENT", "PAUSE", 350, "ALL")
    first = [lane.execute("ECHO", f"a{n}", write=False) for n in range(3)]
    await asyncio.sleep(0.3)
    second = [lane.execute("ECHO", f"b{n}", write=False) for n in range(3)]
    assert await asyncio.gather(*first) == [b"a0", b"a1", b"a2"]
    assert await asyncio.gather(*second) == [b"b0", b"b1", b"b2"]


async def test_a_loading_redis_is_waited_for(binary: Path, lane_to: Open) -> None:
    # While it loads, Redis handles connections after every 1024 commands, each of which takes 100 us here.
    with RedisProcess(binary, "--appendonly", "yes", "--appendfsync", "always", "--key-load-delay", "100") as process:
        lane = await lane_to(process.url)
        process.command("EVAL", "for n = 1, 5000 do redis.call('SET', n, n) end", 0)
        await asyncio.to_thread(process.kill)
        process.start(wait=False)
        assert await lane.execute("GET", "5000", write=False) == b"5000"
        assert await lane.execute("INCR", "n", write=True) == 1
        assert lane.retries > 0


async def test_a_demoted_primary_is_disconnected_and_the_write_waits_for_a_primary(
    own: RedisProcess, lane_to: Open
) -> None:
    lane = await lane_to(own.url)
    own.command("REPLICAOF", "127.0.0.1", 1)
    plain = lane.execute("INCR", "plain", write=True)
    script = lane.execute("EVAL", "return redis.call('INCR', KEYS[1])", 1, "scripted", write=True)
    await asyncio.sleep(0.2)
    assert not plain.done()
    assert not script.done()
    own.command("REPLICAOF", "NO", "ONE")
    assert list(await asyncio.gather(plain, script)) == [1, 1]
    assert lane.retries >= 2
    assert lane.reconnects >= 1


async def test_a_write_to_a_demoted_primary_is_reported_as_not_carried_out(own: RedisProcess, lane_to: Open) -> None:
    lane = await lane_to(own.url, timeout=0.3)
    own.command("REPLICAOF", "127.0.0.1", 1)
    with pytest.raises(NotSent):
        await asyncio.wait_for(lane.execute("INCR", "n", write=True), 5)
    assert lane.depth == 0


SPIN = """
local function now() local time = redis.call('TIME') return time[1] * 1e6 + time[2] end
local finish = now() + 300000
while now() < finish do end
return 'done'
"""


async def test_a_busy_script_delays_commands_but_fails_none(own: RedisProcess, lane_to: Open) -> None:
    own.command("CONFIG", "SET", "lua-time-limit", 10)
    lane = await lane_to(own.url)
    other = await lane_to(own.url)
    spinning = other.execute("EVAL", SPIN, 0, write=False)
    await asyncio.sleep(0.1)
    assert await lane.execute("INCR", "n", write=True) == 1
    assert await spinning == b"done"


async def test_on_connect_runs_before_any_waiting_command_on_every_connection(own: RedisProcess, lane_to: Open) -> None:
    library = "#!lua name=test\nredis.register_function('said', function() return 'loaded' end)"

    async def load(ask: Any) -> None:
        await ask("FUNCTION", "LOAD", "REPLACE", library)
        with pytest.raises(Rejected):
            await ask("NONSENSE")

    lane = await lane_to(own.url, on_connect=load, connect=False)
    early = lane.execute("FCALL", "said", 0, write=True)
    await lane.connect()
    assert await early == b"loaded"
    await asyncio.to_thread(own.kill)
    waiting = asyncio.gather(*(lane.execute("FCALL", "said", 0, write=False) for _ in range(20)))
    await asyncio.to_thread(own.start)
    assert await waiting == [b"loaded"] * 20


async def test_a_failing_on_connect_is_repeated_while_commands_wait(redis: RedisProcess, lane_to: Open) -> None:
    failures = [RuntimeError("not today"), Rejected("ERR", "ERR nor now")]

    async def fail_first(ask: Any) -> None:
        await ask("PING")
        if failures:
            raise failures.pop(0)

    lane = await lane_to(redis.url, on_connect=fail_first, connect=False)
    waiting = lane.execute("ECHO", "x", write=True)
    await lane.connect()
    assert await waiting == b"x"
    assert not failures


async def test_an_unreachable_server_is_reported_and_the_lane_keeps_trying(
    binary: Path, own: RedisProcess, lane_to: Open
) -> None:
    own.kill()
    lane = await lane_to(own.url, connect=False)
    with pytest.raises(NotSent, match="cannot connect to unix:///"):
        await lane.connect(0.2)
    await asyncio.to_thread(own.start)
    await lane.connect(10)
    assert await lane.execute("PING", write=False) == b"PONG"


@pytest.mark.parametrize(
    ("nonsense", "answer", "complaint"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Unanswered, "Protocol error"),
        (b"+OK\r\n+OK\r\n+OK\r\n", b"OK", "a reply without a command"),
    ],
    ids=["http", "too-much"],
)
async def test_a_server_without_the_redis_protocol_is_disconnected(
    lane_to: Open, nonsense: bytes, answer: Any, complaint: str
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(b"+OK\r\n" if b"SETNAME" in data else nonsense)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        lane = await lane_to(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=1.0)
        write = lane.execute("INCR", "n", write=True)
        lost = lane._wire.lost
        result = await asyncio.gather(write, return_exceptions=True)
        assert complaint in await asyncio.wait_for(lost, 5)
        assert result[0] == answer or type(result[0]) is answer
        await lane.close()


def test_pauses_between_attempts_grow_to_half_a_second_and_vary() -> None:
    assert all(0.025 <= backoff(1) <= 0.05 for _ in range(100))
    assert all(0.25 <= backoff(attempt) <= 0.5 for attempt in (5, 10, 10_000))
    assert len({backoff(3) for _ in range(100)}) > 1
