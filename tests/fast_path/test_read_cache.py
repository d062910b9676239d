"""Tests the read cache on one server: what it caches, what invalidates it, and that it never changes an answer."""

import asyncio
import json
from time import time

import pytest

from service.http.app import App, start
from service.http.read_cache import LARGEST, MEMORY, RETRY, SPARING, ReadCache
from service.metrics import Meter
from service.settings import Settings
from service.storage.access.directory import Caller, digest, token_entry
from tests.fast_path.cached_reads import DOCUMENT, Client, hits, kept, started
from tests.fast_path.rig import outside_of_tasks
from tests.raw_http import DOCUMENTS, request
from tests.running import soon
from tests.servers import RedisProcess


async def test_a_repeated_read_is_answered_without_reading_the_record(app: App, redis: RedisProcess) -> None:
    client = Client(app)
    await client.ask("PUT", DOCUMENT, b'{"a":1}')
    await kept(client)
    before, gets = hits(app), commands(redis, "get")
    answers = {await client.ask("GET", DOCUMENT) for _ in range(10)}
    assert answers == {(200, b'{"a":1}')}
    assert hits(app) == before + 10
    assert commands(redis, "get") - gets <= 2  # of the directory's watch


def commands(redis: RedisProcess, name: str) -> int:
    told = redis.command("INFO", "commandstats")
    return int(told.get(f"cmdstat_{name}", {"calls": 0})["calls"])


async def test_reads_of_one_tick_share_a_barrier(app: App) -> None:
    first = Client(app)
    await first.ask("PUT", DOCUMENT, b'{"a":1}')
    await kept(first)
    clients = [Client(app) for _ in range(50)]
    for client in clients:  # so that their connections are idle ones
        await client.ask("GET", DOCUMENTS + "/c/other")
    before = app.redis.tracking.barriers
    for client in clients:
        client.send(request("GET", DOCUMENT))
    assert {await client.nth(1) for client in clients} == {(200, b'{"a":1}')}
    assert app.redis.tracking.barriers == before + 1


@pytest.mark.parametrize(
    ("method", "body", "told"),
    [
        ("PUT", b'{"a":2}', (200, b'{"a":2}')),
        ("PATCH", b'{"a":2}', (200, b'{"a":2}')),
        ("DELETE", None, (404, None)),
    ],
)
async def test_a_write_invalidates_the_cached_answer(
    app: App, method: str, body: bytes | None, told: tuple[int, bytes | None]
) -> None:
    reader, writer = Client(app), Client(app)
    await writer.ask("PUT", DOCUMENT, b'{"a":1}')
    await kept(reader)
    await writer.ask(method, DOCUMENT, body)
    status, found = await reader.ask("GET", DOCUMENT)
    assert (status, found if told[1] else None) == told


async def test_a_write_of_another_program_invalidates_the_cached_answer(app: App, redis: RedisProcess) -> None:
    client = Client(app)
    await client.ask("PUT", DOCUMENT, b'{"a":1}')
    await kept(client)
    (key,) = [key for key in redis.command("KEYS", "{ainoflow*") if b"}r:" in key or key.endswith(b"k")]
    redis.command("DEL", key)
    assert (await client.ask("GET", DOCUMENT))[0] == 404


async def test_flushall_invalidates_all_cached_answers(app: App, redis: RedisProcess) -> None:
    client = Client(app)
    await client.ask("PUT", DOCUMENT, b'{"a":1}')
    await kept(client)
    redis.command("FLUSHALL")
    assert (await client.ask("GET", DOCUMENT))[0] in (401, 404)
    assert (len(app.cache.answers), app.cache.bytes) == (0, 0)


async def test_a_cached_answer_expires_by_the_clock_of_redis_to_the_millisecond(app: App) -> None:
    client = Client(app)
    _, receipt = await client.ask("PUT", DOCUMENT + "?expiresMs=400", b'{"a":1}')
    await kept(client)
    (answer,) = [each for each in app.cache.answers.values() if each.data == request("GET", DOCUMENT)]
    assert answer.until > 0
    while (told := await client.ask("GET", DOCUMENT))[0] == 200:
        assert told == (200, b'{"a":1}')
    assert told[0] == 404
    assert json.loads(receipt)["expiresAt"]
    assert request("GET", DOCUMENT) not in app.cache.answers


async def test_a_change_of_access_invalidates_the_cached_answer(app: App) -> None:
    client = Client(app)
    await client.ask("PUT", DOCUMENT, b'{"a":1}')
    await kept(client)
    directory = app.state.service.directory
    entry = token_entry(digest("ak-1"), Caller("me", {"project": "another"}))
    await directory.declare("ainoflow", [entry])
    await directory.invalidate()

    async def gone() -> bool:
        return (await client.ask("GET", DOCUMENT))[0] == 404

    await soon(gone)


async def test_each_head_has_its_own_cached_answers(app: App) -> None:
    client = Client(app)
    await client.ask("PUT", DOCUMENT, b'{"a":1}')
    await kept(client)
    etag = b"".join(client.transport.written[-1:]).partition(b'ETag: "')[2].partition(b'"')[0].decode()
    for _ in range(4):
        assert await client.ask("GET", DOCUMENT, None, f'If-None-Match: "{etag}"') == (304, b"")
        assert await client.ask("GET", DOCUMENT) == (200, b'{"a":1}')
        assert (await client.ask("GET", DOCUMENT + "/meta"))[0] == 200
    assert len(app.cache.answers) == 3


async def test_answers_that_differ_from_request_to_request_are_not_cached(app: App) -> None:
    client = Client(app)
    await client.ask("PUT", DOCUMENT, b'{"a":1}')
    for _ in range(4):
        assert (await client.ask("GET", DOCUMENT, None, "X-Request-Id: ?"))[0] == 200  # it is answered with a new one
        assert (await client.ask("GET", DOCUMENTS + "/c/none"))[0] == 404
    assert len(app.cache.answers) == 0


async def test_reads_of_a_caller_with_a_rate_are_counted_and_not_cached(app: App) -> None:
    directory = app.state.service.directory
    caller = Caller("rated", {"project": "p"}, rate=(5, 3600.0))
    await directory.declare("ainoflow", [token_entry(digest("ak-2"), caller)])
    client = Client(app)
    await client.ask("PUT", DOCUMENT, b'{"a":1}')
    before = hits(app)
    data = request("GET", DOCUMENT, credential="Authorization: Bearer ak-2")
    statuses = [(await client.answer(data))[0] for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2
    assert hits(app) == before
    assert data not in app.cache.answers


async def test_a_request_that_could_not_be_cached_is_rarely_tried_again(app: App, redis: RedisProcess) -> None:
    client = Client(app)
    await client.ask("PUT", DOCUMENT, b'{"a":1}')
    await kept(client)
    target = DOCUMENTS + "/c/none"
    for _ in range(5):
        await client.ask("GET", target)
    cache = app.cache
    assert not all(cache.should_record(request("GET", target)) for _ in range(RETRY))
    assert any(cache.should_record(request("GET", target)) for _ in range(2 * RETRY))
    assert not cache.should_record(request("PUT", target, b"{}"))


async def test_the_cache_is_limited_and_used_answers_stay(redis: RedisProcess) -> None:
    redis.command("FLUSHALL")
    app = await started(redis.url, read_cache_bytes=40_000)
    try:
        client = Client(app)
        for number in range(60):
            await client.ask("PUT", f"{DOCUMENTS}/c/{number}", b'{"a":1}')
        hot = f"{DOCUMENTS}/c/0"
        await kept(client, hot)
        for number in range(1, 60):
            await kept(client, f"{DOCUMENTS}/c/{number}")
            await client.ask("GET", hot)
            assert app.cache.bytes == sum(each.size for each in app.cache.answers.values()) <= 40_000
        assert request("GET", hot) in app.cache.answers
        assert 5 < len(app.cache.answers) < 60
        await client.ask("PUT", DOCUMENT, json.dumps({"a": "x" * (40_000 // LARGEST)}).encode())
        for _ in range(4):
            await client.ask("GET", DOCUMENT)
        assert request("GET", DOCUMENT) not in app.cache.answers
    finally:
        await app.close()


async def test_with_zero_bytes_there_is_no_cache(redis: RedisProcess) -> None:
    redis.command("FLUSHALL")
    app = await started(redis.url, read_cache_bytes=0)
    try:
        client = Client(app)
        await client.ask("PUT", DOCUMENT, b'{"a":1}')
        for _ in range(4):
            assert await client.ask("GET", DOCUMENT) == (200, b'{"a":1}')
        assert (len(app.cache.answers), app.redis.tracking.barriers) == (0, 0)
    finally:
        await app.close()


async def test_requests_that_wait_for_a_barrier_are_answered_in_order(app: App) -> None:
    client = Client(app)
    await client.ask("PUT", DOCUMENT, b'{"a":1}')
    await kept(client)
    count = len(client.transport.written)
    client.send(request("GET", DOCUMENT))
    client.send(request("GET", DOCUMENTS + "/c/none") + request("GET", DOCUMENT))
    await client.nth(count + 2)
    statuses = [int(data.split(b" ")[1]) for data in client.transport.written[count:]]
    assert statuses == [200, 404, 200]
    assert app.state.in_flight == 0


async def test_an_answer_from_memory_while_draining_has_connection_close(app: App) -> None:
    client = Client(app)
    await client.ask("PUT", DOCUMENT, b'{"a":1}')
    await kept(client)
    count = len(client.transport.written)
    client.send(request("GET", DOCUMENT))
    assert client.connection._exchange is app.cache.answers[request("GET", DOCUMENT)]
    app.state.draining = True
    assert await client.nth(count) == (200, b'{"a":1}')
    assert b"\r\nConnection: close\r\nContent-Type:" in client.transport.written[count]
    assert client.transport.closed
    assert app.state.in_flight == 0


async def test_a_client_that_leaves_before_the_barrier_leaves_nothing(app: App) -> None:
    client = Client(app)
    await client.ask("PUT", DOCUMENT, b'{"a":1}')
    await kept(client)
    client.send(request("GET", DOCUMENT))
    with outside_of_tasks():
        client.connection.connection_lost(None)

    async def at_rest() -> bool:
        return app.state.in_flight == 0

    await soon(at_rest)


async def test_a_lost_tracking_connection_empties_the_cache_and_no_old_answer_is_sent(
    app: App, redis: RedisProcess
) -> None:
    reader, writer = Client(app), Client(app)
    for number in range(4):
        await writer.ask("PUT", DOCUMENT, b'{"a":%d}' % number)
        await kept(reader)
        redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

        async def written(body: bytes = b'{"b":%d}' % number) -> bool:
            return (await writer.ask("PUT", DOCUMENT, body))[0] == 200

        await soon(written)
        assert await reader.ask("GET", DOCUMENT) == (200, b'{"b":%d}' % number)


async def test_a_small_tracking_table_of_redis_only_shortens_the_life_of_answers(app: App, redis: RedisProcess) -> None:
    redis.command("CONFIG", "SET", "tracking-table-max-keys", "3")
    try:
        client = Client(app)
        for number in range(12):
            await client.ask("PUT", f"{DOCUMENTS}/c/{number}", b'{"a":1}')
        for _ in range(4):
            for number in range(12):
                assert await client.ask("GET", f"{DOCUMENTS}/c/{number}") == (200, b'{"a":1}')

        async def forgotten() -> bool:
            return len(app.cache.answers) <= 4

        await soon(forgotten)
    finally:
        redis.command("CONFIG", "SET", "tracking-table-max-keys", "1000000")


async def test_a_server_that_forbids_tracking_is_used_without_the_cache(redis: RedisProcess) -> None:
    redis.command("FLUSHALL")
    redis.command("ACL", "SETUSER", "plain", "on", ">secret", "~*", "&*", "+@all", "-client|tracking")
    url = redis.url.replace("unix://", "unix://plain:secret@")
    app = await start(Settings(), url, Meter())
    try:
        directory = app.state.service.directory
        await directory.declare("ainoflow", [token_entry(digest("ak-1"), Caller("me", {"project": "p"}))])
        client = Client(app)
        await client.ask("PUT", DOCUMENT, b'{"a":1}')
        for _ in range(4):
            assert await client.ask("GET", DOCUMENT) == (200, b'{"a":1}')
        assert app.redis.tracking.barriers == 0
    finally:
        await app.close()


class Untracked:
    """A Redis that tracks nothing."""

    tracker = None
    cluster = False

    class tracking:
        emptied = None


def test_a_request_is_recorded_when_it_is_seen_the_second_time() -> None:
    cache = ReadCache(1000, Untracked())  # type: ignore[arg-type]
    data = request("GET", DOCUMENT)
    assert [cache.should_record(data) for _ in range(3)] == [False, True, True]
    cache.recording_failed(data)
    assert sum(cache.should_record(data) for _ in range(10 * RETRY)) > 0
    assert cache.misses == 3 + 10 * RETRY


def without_success() -> ReadCache:
    """Return a cache whose recorded answers were never asked for."""
    cache = ReadCache(1000, Untracked())  # type: ignore[arg-type]
    for _ in range(MEMORY):
        cache.recording_wasted(request("GET", DOCUMENT))
    return cache


def targets(count: int) -> list[bytes]:
    return [request("GET", f"{DOCUMENTS}/c/{number}") for number in range(count)]


def test_recording_is_rare_while_it_does_not_pay_off() -> None:
    cache, requests = without_success(), targets(10_000) * 4
    recorded = sum(cache.should_record(data) for data in requests)
    assert 0 < recorded <= len(requests) * 3 // SPARING
    for _ in range(MEMORY):
        cache.recording_used()
    assert sum(cache.should_record(data) for data in requests) > len(requests) // 2


@pytest.mark.parametrize("count", [1, 7, 10_000])
def test_recording_comes_back_when_it_pays_off(count: int) -> None:
    """This holds also for many targets, each of which is requested only a few times."""
    cache, recorded = without_success(), set[bytes]()
    for data in targets(count) * max(5, 3 * MEMORY * SPARING // count):
        if data in recorded:
            recorded.remove(data)
            cache.recording_used()
        elif cache.should_record(data):
            recorded.add(data)
    assert cache._worth == MEMORY


async def test_an_answer_that_is_used_counts_once_and_at_once(app: App, redis: RedisProcess) -> None:
    client = Client(app)
    await client.ask("PUT", DOCUMENT, b'{"a":1}')
    await kept(client)
    scores = []
    for _ in range(4):
        scores.append(app.cache._worth)
        await client.ask("GET", DOCUMENT)
    assert scores == [0, 1, 1, 1]
    await client.ask("PUT", DOCUMENT, b'{"a":2}')
    await client.ask("GET", DOCUMENT)
    assert app.cache._worth == 1


async def test_no_answer_is_cached_for_a_token_with_an_expiry(app: App) -> None:
    directory = app.state.service.directory
    ends = time() + 1.5
    await directory.declare("ainoflow", [token_entry(digest("short"), Caller("short", {"project": "p"}, None, ends))])
    client = Client(app)
    await client.ask("PUT", DOCUMENT, b'{"a":1}')
    data = request("GET", DOCUMENT, credential="Authorization: Bearer short")
    while time() < ends:
        status, _ = await client.answer(data)
        late = time() >= ends
        assert status == 200 or late
        assert data not in app.cache.answers
        await asyncio.sleep(0.005)
    assert (await client.answer(data))[0] == 401
