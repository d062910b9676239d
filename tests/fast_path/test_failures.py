"""Tests failures on one connection: only that request is affected, it is logged once, and nothing is left of it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from service.api.dialect import Answer, Stream
from service.http.middleware import Middleware
from service.redis.errors import Failed, NotSent, Overloaded, Rejected, Unanswered
from tests.fast_path.rig import Rig, at_rest
from tests.raw_http import DOCUMENTS, WHOAMI, request
from tests.servers import RedisProcess

K = DOCUMENTS + "/c/k"
GET, PUT, WHO = request("GET", K), request("PUT", K, b'{"a":1}'), request("GET", WHOAMI)
OLD = request("GET", K, None, "Connection: keep-alive", version="1.0")  # which aiohttp answers


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (Unanswered("lost"), b"may or may not"),
        (NotSent("away"), b"cannot be reached"),
        (Overloaded("full"), b"overloaded"),
        (Rejected("OOM", "OOM no memory"), b"memory is full"),
    ],
)
async def test_a_late_reply_never_reaches_the_next_request(rig: Rig, failure: Failed, said: bytes) -> None:
    rig.receive(PUT + GET)
    rig.fail(rig.held.pop(), failure)
    await rig.rest()
    assert said in rig.transport.written[0]
    await rig.reply()
    assert (rig.statuses[1], rig.transport.written[1][-7:]) == (200, b'{"a":1}')
    assert at_rest(rig)


async def test_a_collection_that_was_unregistered_is_registered_and_written_once(rig: Rig) -> None:
    rig.receive(request("PUT", K + "4", b'{"whole":"body"}') + GET)
    rig.fail(rig.held.pop(), Rejected("UNREGISTERED", "UNREGISTERED"))
    await rig.rest()
    await all_of(rig)
    assert b'"version":1,' in rig.transport.written[0]
    rig.receive(request("GET", K + "4"))
    await all_of(rig)
    assert rig.transport.written[-1].endswith(b'{"whole":"body"}')
    assert (rig.ordinary, at_rest(rig)) == (0, True)


async def test_a_call_of_a_lost_function_is_repeated_and_carried_out_once(rig: Rig, redis: RedisProcess) -> None:
    redis.command("FUNCTION", "FLUSH")
    rig.receive(request("PUT", K + "4", b'{"whole":"body"}') + request("GET", K + "4/meta"))
    await all_of(rig)
    assert b'"version":1,' in rig.transport.written[1]
    assert (rig.statuses, rig.ordinary, at_rest(rig)) == ([200, 200], 0, True)


async def all_of(rig: Rig) -> None:
    """Execute all commands, one after the other."""
    while rig.held:
        await rig.reply()
        await rig.rest()


def raising(*_: Any, **__: Any) -> Any:
    raise KeyError("a fault")


def answering(monkeypatch: pytest.MonkeyPatch, answer: Callable[[], Answer]) -> None:
    """Give the first exchange this outcome after its command. Later exchanges are not changed."""
    handled, once = Middleware.handle, [answer]

    async def other(self: Middleware, *arguments: Any) -> Answer | Stream:
        said = await handled(self, *arguments)
        return once.pop()() if once else said

    monkeypatch.setattr(Middleware, "handle", other)


async def test_an_error_in_a_handler_is_a_500_for_that_request_only(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, raising)
    rig.receive(GET + GET)
    await rig.reply()
    await rig.reply()
    assert rig.statuses == [500, 200]
    assert (rig.ordinary, at_rest(rig)) == (0, True)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, headers=(("X", "a\r\nSet-Cookie: b"),)),
        Answer(200, headers=(("X", "a\nb"),)),
        Answer(299),
        Answer(200, headers=(("X", "\udcff"),)),
        Answer(200, content_type="a\r\nSet-Cookie: b"),
    ],
)
async def test_an_answer_that_is_not_valid_http_becomes_a_500_and_is_not_sent(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    answering(monkeypatch, lambda: answer)
    rig.receive(GET + GET)
    await rig.reply()
    await rig.reply()
    assert rig.statuses == [500, 200]
    assert b"Set-Cookie" not in b"".join(rig.transport.written)
    assert at_rest(rig)


async def test_aiohttps_path_sends_no_invalid_answer_either(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    router = rig.app.state.router
    dialect, route, params = router.find("GET", K)

    async def handler(_: Any) -> Answer:
        return Answer(200, headers=(("X", "a\r\nSet-Cookie: b"),))

    found = (dialect, replace(route, handler=handler), params)
    monkeypatch.setattr(router, "find", lambda method, path: found)
    rig.receive(OLD + OLD)
    await rig.answered(2)
    assert rig.ordinary == 2
    assert rig.statuses == [500, 500]
    assert b"Set-Cookie" not in b"".join(rig.transport.written)


@pytest.mark.parametrize("name", ["finish", "refuse"])
async def test_if_even_a_refusal_fails_the_connection_is_closed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    answering(monkeypatch, raising)
    rig.receive(GET + GET)
    monkeypatch.setattr(rig.app.state.middleware, name, raising)
    await rig.reply()  # which does not raise: other replies are read behind this one
    assert (b"".join(rig.transport.written), rig.held, rig.transport.closed) == (b"", [], True)
    assert at_rest(rig)


async def test_a_command_that_cannot_be_sent_is_a_500(rig: Rig) -> None:
    rig.app.redis.send = raising
    rig.receive(GET + WHO)
    await rig.answered(2)
    assert (rig.statuses, rig.ordinary) == ([500, 200], 0)
    assert at_rest(rig)
