"""Tests that cross-origin requests are allowed only from configured origins."""

from collections.abc import Callable, Iterator

import pytest
from aiohttp import ClientSession

from tests.dialects.ainoflow.client import Client, at, open_project
from tests.running import Running

ORIGIN = "https://app.example"
ASKED = {"Origin": ORIGIN, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}
CLIENTS_SEND = (
    "authorization",
    "access-token",
    "gms_user",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "x-request-id",
)


@pytest.fixture(scope="module")
def open_to_some() -> Iterator[Running]:
    with Running(cors_origins=f"{ORIGIN},https://other.example") as running:
        yield running.wait_ready()


async def test_without_origins_a_preflight_is_refused_and_nothing_is_shared(project: Client) -> None:
    preflight = await project.ask("OPTIONS", at("d", "k"), None, **ASKED)
    preflight.refused(405)
    answer = await project.ask("GET", at("d"), Origin=ORIGIN)
    for reply in (preflight, answer):
        assert not [name for name in reply.headers if name.lower().startswith("access-control")]
        assert reply.headers.getall("Vary") == ["Authorization"]


async def test_a_preflight_of_a_named_origin_is_answered_without_a_key(
    open_to_some: Running, http: ClientSession
) -> None:
    async with http.options(open_to_some.url + at("d", "k"), headers=ASKED) as answer:
        assert (answer.status, await answer.read()) == (204, b"")
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers.getall("Access-Control-Allow-Origin") == [ORIGIN]
        assert set(answer.headers.getall("Vary")) == {"Authorization", "Origin"}
        methods = answer.headers["Access-Control-Allow-Methods"].split(", ")
        assert {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} <= set(methods)
        assert answer.headers["Access-Control-Allow-Headers"] == ", ".join(CLIENTS_SEND)
        assert int(answer.headers["Access-Control-Max-Age"]) > 0
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_answers_and_refusals_are_shared_with_a_named_origin(open_to_some: Running, http: ClientSession) -> None:
    project = await open_project(open_to_some, http)
    for method, target, status in (
        ("PUT", at("d", "k"), 200),
        ("GET", at("d", "k"), 200),
        ("GET", at("d"), 200),
        ("GET", at("d", "none"), 404),
        ("GET", "/api/v1/nothing", 404),
        ("DELETE", at("d"), 405),
        ("POST", at("d", "k"), 409),
    ):
        reply = await project.ask(method, target, b"{}" if method.startswith("P") else None, Origin=ORIGIN)
        assert reply.status == status
        assert reply.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert set(reply.headers.getall("Vary")) == {"Authorization", "Origin"}
        exposed = reply.headers["Access-Control-Expose-Headers"].split(", ")
        assert {"ETag", "Retry-After", "X-Total-Count", "X-Page", "X-Limit", "X-Total-Pages"} <= set(exposed)


async def test_another_origin_gets_no_cors_headers(open_to_some: Running, http: ClientSession) -> None:
    project = await open_project(open_to_some, http)
    for origin in ("https://evil.example", "https://app.example.evil", "null", "HTTPS://APP.EXAMPLE"):
        preflight = await project.ask("OPTIONS", at("d", "k"), None, **(ASKED | {"Origin": origin}))
        preflight.refused(405)
        reply = await project.ask("GET", at("d"), Origin=origin)
        assert reply.status == 200
        for each in (preflight, reply):
            assert "Access-Control-Allow-Origin" not in each.headers
            assert set(each.headers.getall("Vary")) == {"Authorization", "Origin"}
    assert set((await project.ask("GET", at("d"))).headers.getall("Vary")) == {"Authorization", "Origin"}


async def test_options_without_a_preflight_is_an_unknown_method(open_to_some: Running, http: ClientSession) -> None:
    project = await open_project(open_to_some, http)
    (await project.ask("OPTIONS", at("d", "k"), Origin=ORIGIN)).refused(405)


async def test_a_star_is_any_origin(serve: Callable[..., Running], http: ClientSession) -> None:
    running = serve(cors_origins="*")
    async with http.options(running.url + at("d", "k"), headers=ASKED) as answer:
        assert answer.status == 204
        assert answer.headers.getall("Access-Control-Allow-Origin") == ["*"]
