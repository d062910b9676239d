"""Tests Basic authentication: no request needs a password until one is declared; then every request needs one."""

import asyncio
from base64 import b64encode
from collections.abc import Iterator, Mapping
from time import monotonic

import pytest
from aiohttp import ClientSession

from tests import http_client
from tests.dialects.genesys.client import Client, at
from tests.running import Running, soon


def basic(username: str, password: str) -> str:
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode()


async def declare(running: Running, http: ClientSession, *credentials: Mapping[str, object]) -> list[dict[str, str]]:
    """Apply these credentials; return the passwords that were generated."""
    answer = await http_client.declare(running, http, genesys={"credentials": credentials})
    tokens: list[dict[str, str]] = answer["tokens"]
    return tokens


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    """A service for the tests of this file, which declare passwords."""
    with Running() as running:
        yield running.wait_ready()


@pytest.fixture
async def guarded(shared: Running, http: ClientSession) -> Client:
    """A client without a password, of a service with two declared passwords. Those of earlier tests are removed."""
    gms = Client(http, shared)
    with shared.redis as client:
        client.flushall()

    async def open() -> bool:
        return (await gms.post("600")).status == 200

    await soon(open)
    id = await gms.create(("a", "1"))
    await declare(shared, http, {"username": "me", "password": "sécret: x"}, {"username": "you", "password": "p"})

    async def closed() -> bool:
        return (await gms.get(id)).status == 401

    began = monotonic()
    await soon(closed)
    assert monotonic() - began < 10  # about one second, and longer on a slow machine
    return gms


BAD = [
    "",
    "Basic",
    "Basic x",
    "Bearer me",
    basic("me", "wrong"),
    basic("nobody", "sécret: x"),
    basic("me", ""),
    basic("", ""),
    "Basic " + b64encode(b"me").decode(),
    "Basic " + b64encode(b"\xff:\xff").decode(),
    "Basic ====",
]


async def test_a_request_without_a_valid_password_is_refused_by_every_route(guarded: Client) -> None:
    for shown in BAD:
        for target in (at("x"), at("x", "a"), at("binary", "x", "a")):
            reply = await guarded.ask("GET", target, Authorization=shown)
            reply.refused(401)
            assert reply.headers["WWW-Authenticate"] == 'Basic realm="genesys", charset="UTF-8"'
    (await guarded.post("60")).refused(401)
    (await guarded.ask("DELETE", at("x"))).refused(401)


async def test_a_valid_password_is_accepted_until_it_is_changed_or_removed(
    guarded: Client, http: ClientSession
) -> None:
    mine, yours = basic("me", "sécret: x"), basic("you", "p")
    for shown in (mine, yours, mine, mine.replace("Basic", "bAsIc")):
        (await guarded.ask("GET", at("x"), Authorization=shown)).refused(404)
    await declare(guarded.running, http, {"username": "me", "password": "new"}, {"username": "you", "remove": True})

    async def shut() -> bool:
        replies = [await guarded.ask("GET", at("x"), Authorization=shown) for shown in (mine, yours)]
        return [reply.status for reply in replies] == [401, 401]

    await soon(shut)
    (await guarded.ask("GET", at("x"), Authorization=basic("me", "new"))).refused(404)
    await declare(guarded.running, http, {"username": "me", "remove": True})

    async def open() -> bool:
        return (await guarded.get("x")).status == 404

    await soon(open)


async def test_a_missing_password_is_generated_once(guarded: Client, http: ClientSession) -> None:
    (issued,) = await declare(guarded.running, http, {"username": "new"})
    assert (issued["dialect"], issued["id"]) == ("genesys", "new")
    assert await declare(guarded.running, http, {"username": "new"}) == []

    async def known() -> bool:
        return (await guarded.ask("GET", at("x"), Authorization=basic("new", issued["token"]))).status == 404

    await soon(known)


async def test_passwords_are_stored_as_salted_slow_digests(guarded: Client) -> None:
    with guarded.running.redis as client:
        stored = client.hgetall("polystow:passwords:genesys")
        assert set(stored) == {b"me", b"you"}
        assert all(len(each) == 16 + 64 for each in stored.values())
        assert not any(b"cret" in (client.dump(key) or b"") for key in client.scan_iter("polystow:*"))


async def test_many_wrong_passwords_get_429_and_known_callers_are_served(guarded: Client) -> None:
    good = basic("you", "p")
    (await guarded.ask("GET", at("x"), Authorization=good)).refused(404)
    tries = [guarded.ask("GET", at("x"), Authorization=basic("me", f"guess {n}")) for n in range(60)]
    flood = asyncio.gather(*tries)
    await asyncio.sleep(0.05)
    (await guarded.ask("GET", at("x"), Authorization=good)).refused(404)
    statuses = [reply.status for reply in await flood]
    assert set(statuses) == {401, 429}
    assert statuses.count(401) >= 16
