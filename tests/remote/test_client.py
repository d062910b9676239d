"""Tests the client of other servers: it waits as long as they say, and repeats only what may be repeated."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import ClientSession, web
from multidict import CIMultiDict

from service.remote.client import FAILED, NEVER, THROTTLED, Oversized, Remote, Repeat, Reply, Unreachable
from service.remote.target import token
from service.settings import BadSetting
from tests.remote.proxy import Forward, proxied

Answers = list[Reply | None]
OK = Reply(200, {}, b"done")


def refused(status: int, **headers: str) -> Reply:
    return Reply(status, CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}), b"")


@asynccontextmanager
async def answering(answers: Answers) -> AsyncIterator[tuple[Callable[..., Remote], list[float]]]:
    """A server that gives these answers in turn (None: it cuts the connection), and the pauses of its client."""
    waited: list[float] = []

    async def behaviour(request: web.Request, forward: Forward) -> Reply | None:
        return answers.pop(0)

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    async with proxied("http://unused", behaviour) as url, ClientSession() as http:
        yield lambda **options: Remote(http, url, sleep=sleep, **options), waited


async def test_a_throttled_request_waits_as_long_as_retry_after_says() -> None:
    async with answering([refused(429, Retry_After="7"), refused(429, Retry_After="0"), OK]) as (client, waited):
        remote = client()
        reply = await remote.ask("GET", "/", repeat=THROTTLED)
    assert (reply.status, reply.body, remote.repeated) == (200, b"done", 2)
    assert 7 <= waited[0] <= 7.25
    assert 0 <= waited[1] <= 0.25


async def test_retry_after_may_be_a_date() -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    async with answering([refused(503, Retry_After=at), OK]) as (client, waited):
        await client().ask("GET", "/")
    assert 90 <= waited[0] <= 100.25


@pytest.mark.parametrize("text", ["", "soon", "-5", "1e9"])
async def test_without_a_valid_retry_after_pauses_are_random_and_grow(text: str) -> None:
    async with answering([*(refused(503, Retry_After=text) for _ in range(8)), OK]) as (client, waited):
        await client().ask("GET", "/")
    assert all(0 <= pause <= min(0.25 * 2**number, 30) for number, pause in enumerate(waited))
    assert len(set(waited)) == 8


@pytest.mark.parametrize("answer", [refused(500), refused(502), refused(503), refused(504), None])
async def test_failed_requests_are_repeated_if_that_does_no_harm(answer: Reply | None) -> None:
    async with answering([answer, OK]) as (client, waited):
        assert (await client().ask("POST", "/", b"x", repeat=FAILED)).status == 200
    assert len(waited) == 1


@pytest.mark.parametrize("repeat", [THROTTLED, NEVER], ids=["throttled", "never"])
async def test_a_request_that_may_have_been_carried_out_is_not_repeated(repeat: Repeat) -> None:
    async with answering([refused(503), None]) as (client, waited):
        assert (await client().ask("POST", "/", b"x", repeat=repeat)).status == 503
        with pytest.raises(Unreachable, match=r"POST .* no answer"):
            await client().ask("POST", "/", b"x", repeat=repeat)
    assert waited == []


async def test_the_last_answer_counts_if_every_attempt_failed() -> None:
    async with answering([refused(503), refused(500)]) as (client, _):
        assert (await client(attempts=2).ask("GET", "/")).status == 500


async def test_an_answer_that_is_too_large_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.remote.client.MOST_BYTES", 1000)
    async with answering([Reply(200, {}, bytes(1000)), Reply(200, {}, bytes(1001))]) as (client, waited):
        assert len((await client().ask("GET", "/a")).body) == 1000
        with pytest.raises(Oversized, match="more than 1000 bytes"):
            await client().ask("GET", "/a")
    assert waited == []


async def test_a_server_that_never_answers_is_unreachable() -> None:
    async with answering([None, None]) as (client, waited):
        with pytest.raises(Unreachable, match=r"POST .*/a: no answer"):
            await client(attempts=2).ask("POST", "/a")
    assert len(waited) == 1


@pytest.mark.parametrize("text", ["9" * 400, "99999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_server_cannot_stop_a_client_for_ever(text: str) -> None:
    async with answering([refused(429, Retry_After=text), OK]) as (client, waited):
        await client().ask("GET", "/")
    assert 3600 <= waited[0] <= 3600.25


async def test_an_invalid_date_in_retry_after_is_ignored() -> None:
    async with answering([refused(429, Retry_After="Mon, 01 Jan 2029 00:00:00 +9999999999999999"), OK]) as (
        client,
        waited,
    ):
        await client().ask("GET", "/")
    assert 0 <= waited[0] <= 0.25


async def test_an_invalid_url_is_unreachable() -> None:
    async with ClientSession() as http:
        for base in ("http://[", "http://a:99999999", "http://a:x"):
            with pytest.raises(Unreachable):
                await Remote(http, base, attempts=1).ask("GET", "/a")


def test_a_credential_with_a_line_end_is_refused_and_not_shown() -> None:
    with pytest.raises(BadSetting, match="NAME must have no line ends") as refusal:
        token("NAME", {"NAME": "secret\n"})
    assert "secret" not in str(refusal.value)
