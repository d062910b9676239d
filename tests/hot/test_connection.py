"""One connection, moment by moment: who is answered when, and that nothing stays behind whatever happens."""

import asyncio
import gc
import inspect
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from service.app import App, start
from service.dialect import Answer
from service.dialects.ainoflow import DIALECT
from service.hot import Exchange, HotConnection
from service.metrics import Meter
from service.redis.errors import Failed, NotSent, Overloaded, Rejected, Unanswered
from service.settings import Settings
from service.storage.directory import Caller, digest, token_entry
from tests.hot.rig import Rig
from tests.hot.wire import DOCUMENTS, WHOAMI, request
from tests.servers import RedisProcess, binaries

K = DOCUMENTS + "/c/k"
GET, PUT, META = request("GET", K), request("PUT", K, b'{"a":1}'), request("GET", K + "/meta")
LIST, WHO = request("GET", DOCUMENTS), request("GET", WHOAMI)
MARKS = (b'{"a":1}', b'"createdBy"', b'"category"', b'"version":2', b'{"a":1}')  # in the answers to these
REFUSED = request("PUT", K, b"nonsense")


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisProcess]:
    with RedisProcess(binaries()[0][1]) as process:
        yield process


@pytest.fixture
async def app(redis: RedisProcess) -> AsyncIterator[App]:
    redis.command("FLUSHALL")
    app = await start(Settings(), redis.url, Meter())
    directory = app.service.directory
    caller = Caller("me", {"project": "p"})
    await directory.declare(DIALECT.name, [token_entry(digest("ak-1"), caller)])
    yield app
    await app.close()


@pytest.fixture
async def rig(app: App) -> Rig:
    """A connection that has just answered two requests, in the ordinary way; so all is known."""
    rig = Rig(app)
    while app.service.directory.kept("ainoflow", "project", "p") is None:
        rig.receive(PUT)
        await rig.answered(len(rig.transport.written) + 1)
        await rig.rest()
        if rig.held:
            await rig.reply()
    rig.transport.written.clear()
    rig.ordinary = 0
    return rig


def at_rest(rig: Rig) -> bool:
    connection = rig.connection
    return rig.app.in_flight == 0 and connection._exchange is None and not connection._request_in_progress


@pytest.mark.parametrize("message", [
    GET, META, PUT, request("POST", K + "2", b"[]"), request("PATCH", K, b"{}"), request("DELETE", K),
    request("GET", K + "3"), request("POST", K, b"{}"), request("DELETE", K + "3"),
])  # fmt: skip
async def test_a_hot_request_is_one_command_and_one_write_and_nothing_of_aiohttp(rig: Rig, message: bytes) -> None:
    rig.receive(message)
    assert (len(rig.held), rig.app.in_flight) == (1, 1)
    await rig.reply()
    assert (rig.held, len(rig.transport.written), rig.ordinary) == ([], 1, 0)
    assert at_rest(rig)


async def test_one_request_of_a_connection_is_asked_at_a_time_and_answers_keep_the_order(rig: Rig) -> None:
    rig.receive(GET + META + LIST + PUT)
    rig.receive(GET)
    for number in (1, 2):
        assert len(rig.held) == 1
        await rig.reply()
        assert len(rig.transport.written) >= number
    await rig.answered(5)  # the list, and what is behind it, are aiohttp's
    assert rig.held == []
    for said, mark in zip(rig.transport.written, MARKS, strict=True):
        assert mark in said
    await rig.rest()
    assert at_rest(rig)


async def test_a_client_that_leaves_takes_its_requests_along(rig: Rig) -> None:
    rig.receive(GET + GET)
    rig.connection.connection_lost(None)
    assert rig.app.in_flight == 1
    await rig.reply()
    assert (rig.held, rig.transport.written) == ([], [])
    assert at_rest(rig)


async def test_nothing_keeps_what_is_over(rig: Rig) -> None:
    rig.receive(GET)
    rig.connection.connection_lost(None)
    await rig.reply()
    kinds = (type(rig.connection), Exchange)
    rig.transport.pause = lambda: None
    del rig.connection
    await rig.rest()
    gc.collect()
    assert [each for each in gc.get_objects() if type(each) in kinds] == []


async def test_a_shutdown_waits_for_the_answer_and_then_closes(rig: Rig) -> None:
    rig.receive(GET + GET)
    rig.app.server.pre_shutdown()
    stopping = asyncio.create_task(rig.app.server.shutdown(10))
    await rig.rest()
    assert not stopping.done()
    await rig.reply()
    await stopping
    assert (rig.statuses, rig.held, rig.transport.closed) == ([200], [], True)
    assert at_rest(rig)


async def test_an_answer_while_draining_announces_the_end_and_keeps_its_word(rig: Rig) -> None:
    rig.receive(GET + GET)
    rig.app.draining = True
    await rig.reply()
    assert rig.statuses == [200]
    assert b"\r\nConnection: close\r\n" in rig.transport.written[0]
    assert rig.transport.closed
    assert at_rest(rig)


async def test_a_connection_is_not_idle_while_redis_is_asked(rig: Rig) -> None:
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


@pytest.mark.parametrize(("failure", "said"), [
    (Unanswered("lost"), b"may or may not"), (NotSent("away"), b"cannot be reached"),
    (Overloaded("full"), b"overloaded"), (Rejected("OOM", "OOM no memory"), b"memory is full"),
])  # fmt: skip
async def test_a_late_reply_never_reaches_the_next_request(rig: Rig, failure: Failed, said: bytes) -> None:
    rig.receive(PUT + GET)
    exchange = rig.held.pop().exchange
    exchange.set_exception(failure)
    assert exchange.done()  # so the lane drops what comes for it
    await rig.rest()
    assert said in rig.transport.written[0]
    await rig.reply()
    assert (rig.statuses[1], rig.transport.written[1][-7:]) == (200, b'{"a":1}')
    assert at_rest(rig)


@pytest.mark.parametrize("word", ["NOSCRIPT", "UNREGISTERED"])
async def test_what_was_refused_before_any_effect_is_done_once_in_the_ordinary_way(rig: Rig, word: str) -> None:
    rig.receive(request("PUT", K + "4", b'{"whole":"body"}') + GET)
    rig.held.pop().exchange.set_exception(Rejected(word, word))
    await rig.answered(1)
    assert b'"version":1,' in b"".join(rig.transport.written)
    await rig.answered(2)
    rig.receive(request("GET", K + "4"))
    await rig.reply()
    assert rig.transport.written[-1].endswith(b'{"whole":"body"}')
    assert at_rest(rig)


def raising(*_: Any, **__: Any) -> Any:
    raise KeyError("a fault")


async def test_a_fault_in_telling_a_reply_is_a_500_for_that_request_alone(rig: Rig) -> None:
    rig.receive(GET + GET)
    rig.held[0].exchange.tell = raising
    await rig.reply()
    await rig.reply()
    assert rig.statuses == [500, 200]
    assert at_rest(rig)


@pytest.mark.parametrize("answer", [
    Answer(200, headers=(("X", "a\r\nSet-Cookie: b"),)), Answer(200, headers=(("X", "a\nb"),)), Answer(299),
    Answer(200, headers=(("X", "\udcff"),)), Answer(200, content_type="a\r\nSet-Cookie: b"),
])  # fmt: skip
async def test_an_answer_that_is_no_http_is_a_500_and_nothing_of_it_gets_out(rig: Rig, answer: Answer) -> None:
    rig.receive(GET + GET)
    rig.held[0].exchange.tell = lambda reply: answer
    await rig.reply()
    await rig.reply()
    assert rig.statuses == [500, 200]
    assert b"Set-Cookie" not in b"".join(rig.transport.written)
    assert at_rest(rig)


async def test_the_ordinary_path_lets_no_such_answer_out_either(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    dialect, route, params = rig.app.router.find("GET", K)

    async def handler(_: Any) -> Answer:
        return Answer(200, headers=(("X", "a\r\nSet-Cookie: b"),))

    found = (dialect, replace(route, handler=handler, direct=None), params)
    monkeypatch.setattr(rig.app.router, "find", lambda method, path: found)
    rig.receive(GET + GET)
    await rig.answered(2)
    assert rig.statuses == [500, 500]
    assert b"Set-Cookie" not in b"".join(rig.transport.written)


@pytest.mark.parametrize("name", ["answered", "refused"])
async def test_where_even_a_refusal_fails_the_connection_ends(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    rig.receive(GET + GET)
    rig.held[0].exchange.tell = raising
    monkeypatch.setattr(rig.app.middleware, name, raising)
    await rig.reply()  # which does not raise: other replies are read behind this one
    assert (b"".join(rig.transport.written), rig.held, rig.transport.closed) == (b"", [], True)
    assert at_rest(rig)


async def test_a_command_that_cannot_be_sent_is_a_500(rig: Rig) -> None:
    rig.app.redis.send = raising
    rig.receive(GET + WHO)
    await rig.answered(2)
    assert rig.statuses == [500, 200]
    assert at_rest(rig)


async def test_refusals_in_a_row_do_not_pile_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    depths: set[int] = set()
    end = HotConnection.end

    def counted(connection: HotConnection, response: bytes) -> None:
        depths.add(len(inspect.stack(0)))
        end(connection, response)

    monkeypatch.setattr(HotConnection, "end", counted)
    rig.receive(REFUSED * 31)
    await rig.answered(31)
    assert (rig.statuses, rig.ordinary, len(depths)) == ([400] * 31, 0, 1)
    assert at_rest(rig)


async def test_a_client_that_does_not_read_is_asked_for_no_more(rig: Rig) -> None:
    rig.transport.slow = True
    rig.receive(GET + GET + LIST)
    await rig.reply()
    assert (len(rig.transport.written), rig.held, rig.app.in_flight) == (1, [], 1)
    rig.transport.slow = False
    rig.connection.resume_writing()
    assert len(rig.held) == 1
    await rig.reply()
    await rig.answered(3)
    await rig.rest()
    assert at_rest(rig)


async def test_a_client_that_does_not_read_and_leaves_is_forgotten(rig: Rig) -> None:
    rig.transport.slow = True
    rig.receive(GET + GET)
    await rig.reply()
    rig.connection.connection_lost(None)
    assert (len(rig.transport.written), rig.held) == (1, [])
    assert at_rest(rig)


async def test_large_bodies_behind_a_held_request_are_whole(rig: Rig) -> None:
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


@pytest.mark.parametrize("count", [31, 32, 33, 1000])
async def test_pipelines_of_any_length_are_answered(rig: Rig, count: int) -> None:
    rig.receive(GET * count)
    async with asyncio.timeout(20):
        while sum(data.count(b"HTTP/1.1 200 OK") for data in rig.transport.written) < count:
            if rig.held:
                await rig.reply()
            await asyncio.sleep(0)
    await rig.rest()
    assert at_rest(rig)
