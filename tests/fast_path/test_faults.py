"""Tests faults on both paths: Redis dies, clients disconnect or do not read, the service stops.

Each request is answered once or not at all, and the connection continues or ends cleanly.
"""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import ClientSession

from tests.memory import resident
from tests.raw_http import DOCUMENTS, Response, Wire, connected, request, warm
from tests.running import Running, paused, soon

K = DOCUMENTS + "/faults/k"
GET, PUT = request("GET", K), request("PUT", K, b'{"a":1}')
Start = Callable[..., Running]


@asynccontextmanager
async def warmed(running: Running, count: int) -> AsyncIterator[list[Wire]]:
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(connected(running)) for _ in range(count)]
        for wire in wires:
            await warm(wire, K)
        yield wires


async def in_flight(running: Running) -> float:
    """Return the number of requests in flight."""
    async with ClientSession() as http, http.get(running.ops_url + "/metrics") as answer:
        found = re.search(r"^polystow_requests_in_flight (\S+)", await answer.text(), re.MULTILINE)
        return float(found[1]) if found else -1


async def busy(running: Running, requests: int) -> bool:
    return await in_flight(running) >= requests


async def version(wire: Wire) -> int:
    said = (await wire.ask("GET", K + "/meta")).body
    return int(re.findall(rb'"version":(\d+)', said)[0])


async def in_time(wire: Wire, *asked: Any) -> Response:
    """Repeat a request until its answer is not 503, which is possible after a fault or on a slow machine."""
    answers: list[Response] = []

    async def answered() -> bool:
        answers.append(await wire.ask(*asked))
        return answers[-1].status != 503

    await soon(answered)
    return answers[-1]


async def test_a_late_reply_of_redis_is_503_and_reaches_no_other_request(serve_either: Start) -> None:
    running = serve_either(request_timeout=0.5)
    async with warmed(running, 2) as (reading, writing):
        with paused(running.redis_pid()):
            await reading.send(GET)
            await writing.send(PUT + GET)
            assert b"cannot be reached" in (await reading.response()).body
            unknown = await writing.response()
            assert (unknown.status, unknown.headers["Retry-After"]) == (503, "1")
            assert b"may or may not" in unknown.body
            assert (await writing.response()).status == 503

        assert (await in_time(writing, "PUT", K + "2", b"[2]")).status == 200
        assert (await in_time(writing, "GET", K + "2")).body == b"[2]"
        assert (await in_time(reading, "GET", K)).body == b'{"a":1}'


async def test_when_redis_dies_a_read_is_repeated_and_a_write_has_an_unknown_outcome(serve_either: Start) -> None:
    running = serve_either(appendfsync="always")
    async with warmed(running, 3) as (reading, writing, both):
        pid = running.redis_pid()
        os.kill(pid, signal.SIGSTOP)
        await reading.send(GET)
        await writing.send(PUT)
        await both.send(PUT + GET)
        await soon(lambda: busy(running, 3))  # so that Redis has the commands
        os.kill(pid, signal.SIGKILL)
        assert (await reading.response()).status == 200
        for wire in (writing, both):
            assert b"may or may not" in (await wire.response()).body
        assert (await both.response()).status == 200
        for wire in (reading, writing, both):
            assert (await wire.ask("PUT", K, b"[3]")).status == 200
            assert (await wire.ask("GET", K)).body == b"[3]"


async def test_a_write_whose_function_was_lost_is_carried_out_once(either: Running) -> None:
    async with warmed(either, 1) as (wire,):
        for flushes in range(3):
            before = await version(wire)
            with either.redis as client:
                client.function_flush("SYNC")
            await wire.send(PUT + GET + PUT)
            assert [(await wire.response()).status for _ in range(3)] == [200] * 3, flushes
            assert await version(wire) == before + 2


async def test_a_connection_is_kept_while_its_request_is_in_flight(serve_either: Start) -> None:
    running = serve_either(keepalive_seconds=1)
    async with warmed(running, 1) as (wire,):
        with paused(running.redis_pid()):
            await wire.send(GET)
            await asyncio.sleep(1.6)
        assert (await wire.response()).status == 200
        assert (await wire.ask("GET", K)).status == 200
        assert await wire.rest() == b""  # idle, it ends


async def test_without_keepalive_a_connection_ends_with_its_answer(serve_either: Start) -> None:
    running = serve_either(keepalive_seconds=0)
    for _ in range(3):
        async with connected(running) as wire:
            assert (await wire.ask("PUT", K, b"{}")).status == 200
            assert await wire.rest() == b""


async def test_clients_that_disconnect_leave_nothing_in_flight(either: Running) -> None:
    async def idle() -> bool:
        return await in_flight(either) == 0

    with paused(either.redis_pid()):
        async with AsyncExitStack() as stack:
            for _ in range(20):
                wire = await stack.enter_async_context(connected(either))
                await wire.send(PUT + GET)
            await soon(lambda: busy(either, 20))
    await soon(idle)
    async with warmed(either, 1) as (wire,):
        assert (await wire.ask("GET", K)).status == 200


async def test_a_client_that_does_not_read_uses_little_memory(either: Running) -> None:
    document = b'["' + b"x" * 1_000_000 + b'"]'
    async with warmed(either, 1) as (wire,):
        assert (await wire.ask("PUT", K, document)).status == 200
        assert (await wire.ask("GET", K)).body == document
        (pid,) = either.worker_pids()
        before = resident(pid)
        await wire.send(GET * 150)
        await asyncio.sleep(0.5)  # long enough for a wrong answer to be held
        assert resident(pid) - before < 30_000_000
        for _ in range(150):
            assert (await wire.response()).body == document
        assert (await wire.ask("GET", K)).status == 200


async def test_a_request_in_flight_is_answered_before_the_stop(serve_either: Start) -> None:
    running = serve_either()
    async with warmed(running, 2) as (reading, writing):
        with paused(running.redis_pid()):
            await reading.send(GET)
            await writing.send(PUT)
            await soon(lambda: busy(running, 2))
            running.send(signal.SIGTERM)
            await asyncio.sleep(0.3)
        for wire in (reading, writing):
            response = await wire.response()
            assert (response.status, response.headers.get("Connection")) == (200, "close")
            assert await wire.rest() == b""
    assert await asyncio.to_thread(running.ended) == 0


async def test_an_answer_that_is_read_slowly_is_complete_also_during_a_stop(serve_either: Start) -> None:
    running = serve_either()
    document = b'["' + b"x" * 9_000_000 + b'"]'
    async with warmed(running, 1) as (wire,):
        assert (await wire.ask("PUT", K, document)).status == 200
        assert (await wire.ask("GET", K)).body == document
        await wire.send(GET)
        begin = await wire.some()
        running.send(signal.SIGTERM)
        await asyncio.sleep(0.7)
        assert running.process.poll() is None
        assert (begin + await wire.rest()).endswith(b"\r\n\r\n" + document)
    assert await asyncio.to_thread(running.ended) == 0
