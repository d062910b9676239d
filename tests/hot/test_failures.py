"""One connection, when something fails: for that request alone, told once, and nothing stays behind."""

from dataclasses import replace
from typing import Any

import pytest

from service.dialect import Answer
from service.redis.errors import Failed, NotSent, Overloaded, Rejected, Unanswered
from tests.hot.rig import Rig, at_rest
from tests.hot.wire import DOCUMENTS, WHOAMI, request

K = DOCUMENTS + "/c/k"
GET, PUT, WHO = request("GET", K), request("PUT", K, b'{"a":1}'), request("GET", WHOAMI)


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
