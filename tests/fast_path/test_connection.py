"""Tests one connection step by step: the order of its answers, and that nothing is left of it after any event."""

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from service.api.dialect import Answer, Handler, Request, Stream
from service.http.connection import FastPathConnection
from service.http.driver import Exchange
from tests.fast_path.rig import Rig, at_rest, outside_of_tasks, runner_of
from tests.raw_http import DOCUMENTS, request
from tests.running import soon

K = DOCUMENTS + "/c/k"
GET, PUT, META = request("GET", K), request("PUT", K, b'{"a":1}'), request("GET", K + "/meta")
LIST = request("GET", DOCUMENTS)
MARKS = (b'{"a":1}', b'"createdBy"', b'"category"', b'"version":2', b'{"a":1}')  # in the answers to these
REFUSED = request("PUT", K, b"nonsense")


@pytest.mark.parametrize(
    "message",
    [
        GET,
        META,
        PUT,
        request("POST", K + "2", b"[]"),
        request("PATCH", K, b"{}"),
        request("DELETE", K),
        request("GET", K + "3"),
        request("POST", K, b"{}"),
        request("DELETE", K + "3"),
    ],
)
async def test_a_fast_request_is_one_command_and_one_write_without_aiohttp(rig: Rig, message: bytes) -> None:
    rig.receive(message)
    assert (len(rig.held), rig.app.state.in_flight) == (1, 1)
    await rig.reply()
    assert (rig.held, len(rig.transport.written), rig.ordinary) == ([], 1, 0)
    assert at_rest(rig)


async def test_requests_of_a_connection_are_carried_out_one_at_a_time_and_answered_in_order(rig: Rig) -> None:
    rig.receive(GET + META + LIST + PUT)
    rig.receive(GET)
    while rig.held:
        assert len(rig.held) == 1
        await rig.reply()
    await rig.answered(5)
    for said, mark in zip(rig.transport.written, MARKS, strict=True):
        assert mark in said
    await rig.rest()
    assert at_rest(rig)


async def test_requests_of_a_client_that_disconnects_are_dropped(rig: Rig) -> None:
    rig.receive(GET + GET)
    rig.leave()
    assert rig.app.state.in_flight == 1
    await rig.reply()
    assert (rig.held, rig.transport.written) == ([], [])
    assert at_rest(rig)


async def test_a_finished_connection_and_its_exchanges_are_freed(rig: Rig) -> None:
    gc.collect()
    kinds = (type(rig.connection), Exchange)
    earlier = {id(each): each for each in gc.get_objects() if type(each) is Exchange}
    rig.receive(GET)
    rig.leave()
    await rig.reply()
    rig.transport.pause = lambda: None
    del rig.connection
    await rig.rest()
    gc.collect()
    assert [each for each in gc.get_objects() if type(each) in kinds and id(each) not in earlier] == []


async def test_a_shutdown_closes_a_connection_after_its_answer(rig: Rig) -> None:
    rig.receive(GET + GET)
    rig.app.server.pre_shutdown()
    stopping = asyncio.create_task(rig.app.server.shutdown(10))
    await rig.rest()
    assert not stopping.done()
    await rig.reply()
    await stopping
    assert (rig.statuses, rig.held, rig.transport.closed) == ([200], [], True)
    assert at_rest(rig)


async def test_an_answer_while_draining_has_connection_close_and_the_connection_closes(rig: Rig) -> None:
    rig.receive(GET + GET)
    rig.app.state.draining = True
    await rig.reply()
    assert rig.statuses == [200]
    assert b"\r\nConnection: close\r\n" in rig.transport.written[0]
    assert rig.transport.closed
    assert at_rest(rig)


async def test_a_connection_is_not_idle_while_it_waits_for_redis(rig: Rig) -> None:
    rig.receive(GET)
    rig.connection._next_keepalive_close_time = 0.0
    rig.connection._process_keepalive()
    assert not rig.transport.closed
    await rig.reply()
    assert rig.statuses == [200]
    handle = rig.connection._keepalive_handle
    assert handle is not None
    assert not handle.cancelled()
    rig.connection._next_keepalive_close_time = 0.0
    rig.connection._process_keepalive()
    assert rig.transport.closed


def depth() -> int:
    """Return the depth of the caller's stack."""
    frame, count = sys._getframe(), 0
    while frame.f_back:
        frame, count = frame.f_back, count + 1
    return count


async def test_many_refusals_in_a_row_do_not_grow_the_stack(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    depths: set[int] = set()
    end = FastPathConnection.end

    def counted(connection: FastPathConnection, response: bytes) -> None:
        depths.add(depth())
        end(connection, response)

    monkeypatch.setattr(FastPathConnection, "end", counted)
    rig.receive(REFUSED * 30)
    await rig.answered(30)
    assert (rig.statuses, rig.ordinary, len(depths)) == ([400] * 30, 0, 1)
    assert at_rest(rig)


async def test_no_requests_are_read_from_a_client_that_does_not_read(rig: Rig) -> None:
    rig.transport.slow = True
    rig.receive(GET + GET + LIST)
    await rig.reply()
    assert (len(rig.transport.written), rig.held, rig.app.state.in_flight) == (1, [], 1)
    rig.transport.slow = False
    rig.resume_writing()
    while rig.held:
        assert len(rig.held) == 1
        await rig.reply()
    await rig.answered(3)
    await rig.rest()
    assert at_rest(rig)


async def test_a_client_that_disconnects_without_reading_leaves_nothing(rig: Rig) -> None:
    rig.transport.slow = True
    rig.receive(GET + GET)
    await rig.reply()
    rig.leave()
    assert (len(rig.transport.written), rig.held) == (1, [])
    assert at_rest(rig)


async def test_large_bodies_of_requests_that_wait_are_complete(rig: Rig) -> None:
    """Reading a small body in two pieces lets the parser finish a large one, which then has to be handed on."""
    large = b'["' + b"x" * 900_000 + b'"]'
    put, small = request("PUT", K + "5", large), PUT[:-3]
    rig.receive(GET + small)
    rig.receive(PUT[-3:] + put[:400_000])
    for begin in range(400_000, len(put), 200_000):
        rig.receive(put[begin : begin + 200_000])
    await rig.reply()
    while rig.held:
        await rig.reply()
    await rig.answered(3)
    rig.receive(request("GET", K + "5"))
    await rig.reply()
    assert rig.transport.written[-1].endswith(large)
    assert set(rig.statuses) == {200}
    assert at_rest(rig)


@pytest.mark.parametrize("count", [30, 31, 32, 33, 1000])
async def test_pipelines_of_any_length_are_answered(rig: Rig, count: int) -> None:
    rig.receive(GET * count)
    async with asyncio.timeout(20):
        while sum(data.count(b"HTTP/1.1 200 OK") for data in rig.transport.written) < count:
            if rig.held:
                await rig.reply()
            await asyncio.sleep(0)
    await rig.rest()
    assert at_rest(rig)


# Handlers of a test's own. -------------------------------------------------------------------------------------------

OTHER = DOCUMENTS + "/other/k"


def handled(rig: Rig, monkeypatch: pytest.MonkeyPatch, handler: Handler) -> None:
    """Let a handler answer the requests for a category of the test."""
    router = rig.app.state.router
    found, find = router.find("GET", OTHER), router.find
    own = found[0], replace(found[1], handler=handler), found[2]
    monkeypatch.setattr(router, "find", lambda method, path: own if path == OTHER else find(method, path))


ASK = request("GET", OTHER)


async def test_a_handler_runs_to_its_end_when_its_client_disconnects(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, steps = runner_of(rig.app.state), []

    async def handler(_: Request) -> Answer:
        for number in range(3):
            steps.append(await runner.command("RPUSH", "list", str(number), key="list", write=True))
        return Answer(200)

    handled(rig, monkeypatch, handler)
    rig.receive(ASK + GET)
    await rig.reply()
    rig.leave()
    assert (steps, rig.app.state.in_flight) == ([1], 1)
    await rig.reply()
    await rig.reply()
    assert (steps, rig.transport.written, rig.held) == ([1, 2, 3], [], [])
    assert at_rest(rig)


def long_answer(rig: Rig, *, asks: bool) -> tuple[Handler, list[int]]:
    """Make a handler with a long answer; return it with the list of requests in flight at each of its pieces."""
    runner, counts = runner_of(rig.app.state), list[int]()

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(4):
            if asks:
                await runner.command("PING", key="")
            counts.append(rig.app.state.in_flight)
            yield b"%d" % number

    async def handler(_: Request) -> Answer | Stream:
        return Stream(200, pieces())

    return handler, counts


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize("messages", [[ASK], [GET + ASK + GET], [ASK, GET + ASK], [ASK * 3]])
async def test_a_long_answer_is_sent_by_aiohttp_and_counts_as_in_flight_until_its_end(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, messages: list[bytes], asks: bool
) -> None:
    """This holds with any requests before and after it, and if its first pieces are ready at once."""
    handler, counts = long_answer(rig, asks=asks)
    handled(rig, monkeypatch, handler)
    whole = b"".join(messages)
    for message in messages:
        rig.receive(message)
    longs, shorts = whole.count(ASK), whole.count(GET)

    def all_written() -> bytes:
        return b"".join(rig.transport.written)

    async def over() -> bool:
        if rig.held:
            await rig.reply()
        return all_written().count(b"0\r\n\r\n") == longs and all_written().count(b'{"a":1}') == shorts

    await soon(over)
    await rig.rest()
    assert counts[:2] == [1, 1]
    assert len(counts) == 4 * longs
    assert rig.statuses == [200] * (longs + shorts)
    assert at_rest(rig)


async def test_a_client_that_leaves_during_a_long_answer_leaves_nothing_in_flight(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client disconnects at the moment at which the answer is handed over to aiohttp."""
    handler, _ = long_answer(rig, asks=True)
    handled(rig, monkeypatch, handler)
    rig.receive(ASK)
    command = rig.held.pop(0)
    with outside_of_tasks():
        command.outcome.set_result(b"PONG")
        rig.held.pop(0).outcome.set_result(b"PONG")
        rig.connection.connection_lost(None)
    await rig.rest()
    assert at_rest(rig)


async def test_a_client_that_leaves_during_a_long_answer_causes_no_error(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The client disconnects before the head of the answer is sent."""
    handler, _ = long_answer(rig, asks=False)
    handled(rig, monkeypatch, handler)
    rig.receive(ASK)
    rig.transport.closed = True
    await rig.rest()
    rig.leave()
    await rig.rest()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert at_rest(rig)


async def test_a_client_that_leaves_before_an_answer_of_aiohttp_causes_no_error(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """The client disconnects before aiohttp's task begins with the request."""
    rig.receive(request("HEAD", K))
    rig.leave()
    await rig.rest()
    gc.collect()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert (rig.ordinary, rig.transport.written) == (0, [])
    assert at_rest(rig)


async def test_a_client_that_leaves_before_its_long_answer_leaves_nothing_in_flight(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler, _ = long_answer(rig, asks=True)
    handled(rig, monkeypatch, handler)
    rig.receive(ASK)
    rig.leave()
    while rig.held:
        await rig.reply()
    assert at_rest(rig)


async def test_a_shutdown_does_not_wait_for_a_long_answer_that_comes_after_it_began(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp's task has ended by then."""
    handler, _ = long_answer(rig, asks=True)
    handled(rig, monkeypatch, handler)
    rig.receive(ASK)
    rig.app.server.pre_shutdown()
    stopping = asyncio.create_task(rig.app.server.shutdown(60))
    await rig.rest()
    while rig.held:
        await rig.reply()
    await asyncio.wait_for(stopping, 10)
    assert rig.transport.closed
    assert at_rest(rig)


async def test_a_long_answer_while_draining_has_connection_close(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    handler, _ = long_answer(rig, asks=True)
    handled(rig, monkeypatch, handler)
    rig.receive(ASK)
    rig.app.state.draining = True
    while rig.held:
        await rig.reply()

    async def closed() -> bool:
        return rig.transport.closed

    await soon(closed)
    whole = b"".join(rig.transport.written)
    assert b"\r\nConnection: close\r\n" in whole
    assert whole.endswith(b"0\r\n\r\n")
    await rig.rest()
    assert at_rest(rig)


@pytest.mark.parametrize("count", [29, 1500])
async def test_many_immediate_answers_use_little_stack(rig: Rig, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """The numbers are the most that the connection answers itself, and more than the stack could hold."""
    depths = set[int]()

    async def handler(_: Request) -> Answer:
        depths.add(depth())
        return Answer(204)

    handled(rig, monkeypatch, handler)
    rig.receive(ASK * count)
    await rig.answered(count)
    assert (set(rig.statuses), rig.ordinary) == ({204}, 0 if count < 30 else count)
    assert max(depths) - min(depths) < 20
    await rig.rest()
    assert at_rest(rig)


async def test_many_answers_after_a_waiting_one_use_little_stack(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def handler(_: Request) -> Answer:
        return Answer(204)

    handled(rig, monkeypatch, handler)
    rig.receive(GET + ASK * 25 + GET)
    assert rig.statuses == []
    await rig.reply()
    await rig.reply()
    assert rig.statuses == [200, *[204] * 25, 200]
    assert at_rest(rig)
