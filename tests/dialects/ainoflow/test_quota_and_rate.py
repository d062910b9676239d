"""Tests the quota of a project and the rate of a key."""

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import ClientSession

from tests.dialects.ainoflow.client import Client, Reply, at, declare, open_project
from tests.running import Running, soon, while_it_lives


def full(reply: Reply) -> None:
    reply.refused(429)
    assert "Retry-After" not in reply.headers


async def test_a_quota_of_documents_is_exact(service: Running, http: ClientSession) -> None:
    project = await open_project(service, http, {"documents": 3})
    for place in (("a", "1"), ("a", "2"), ("b", "1")):
        await project.put(*place)
    full(await project.ask("PUT", at("a", "3"), b"{}"))
    full(await project.ask("POST", at("c", "1"), b"{}"))
    full(await project.ask("POST", at("c"), b"{}"))
    await project.put("a", "1", b'{"larger":"document"}')  # the number of bytes is not limited
    assert (await project.ask("DELETE", at("b", "1"))).status == 200
    await project.put("c", "1")
    full(await project.ask("PUT", at("c", "2"), b"{}"))


async def test_a_quota_of_bytes_is_exact(service: Running, http: ClientSession) -> None:
    project = await open_project(service, http, {"bytes": 100})
    await project.put("d", "k1", b"[" + b" " * 58 + b"]")  # 60 bytes
    full(await project.ask("PUT", at("d", "k2"), b"[" + b" " * 39 + b"]"))  # 41 bytes are too many
    await project.put("d", "k2", b"[" + b" " * 38 + b"]")  # 40 bytes fit exactly
    full(await project.ask("POST", at("d", "k3"), b"{}"))
    full(await project.ask("PATCH", at("d", "k1"), b'{"a":"' + b"x" * 60 + b'"}'))
    full(await project.ask("PUT", at("d", "k2"), b"[" + b" " * 39 + b"]"))
    await project.put("d", "k2", b"[" + b"0" + b" " * 37 + b"]")  # the same size
    await project.put("d", "k2", b"{}")
    await project.put("d", "k3", b"[" + b" " * 36 + b"]")  # 38 bytes that are free again
    full(await project.ask("PUT", at("d", "k4"), b"{}"))
    assert (await project.ask("DELETE", at("d", "k1"))).status == 200
    await project.put("d", "k4", b"[" + b" " * 58 + b"]")


@pytest.mark.parametrize("size", [1_000, 100_000, 700_000])
async def test_a_quota_holds_for_documents_of_every_size(service: Running, http: ClientSession, size: int) -> None:
    project = await open_project(service, http, {"bytes": 2 * size})
    body = b'{"a":"%b"}' % (b"x" * (size - 8))
    await project.put("d", "k1", body)
    await project.put("d", "k2", body)
    full(await project.ask("POST", at("d", "k3"), b"[]"))
    full(await project.ask("PATCH", at("d", "k1"), b'{"b":1}'))
    assert (await project.ask("PATCH", at("d", "k1"), b'{"a":"y"}')).status == 200
    assert (await project.ask("PATCH", at("d", "k1"), b'{"b":1}')).status == 200


async def test_an_expired_document_frees_its_quota_within_10_seconds(service: Running, http: ClientSession) -> None:
    project = await open_project(service, http, {"documents": 2, "bytes": 4})

    async def fill(seconds: float) -> None:
        await asyncio.gather(*(project.put("d", f"k{n}", expiresMs=round(seconds * 1000)) for n in range(2)))
        full(await project.ask("PUT", at("d", "k2"), b"{}"))

    await while_it_lives(0.3, fill)

    async def stored() -> bool:
        return (await project.ask("PUT", at("d", "k2"), b"{}")).status == 200

    async with asyncio.timeout(10):
        await soon(stored)


async def test_an_expired_document_under_the_same_key_takes_no_quota(service: Running, http: ClientSession) -> None:
    project = await open_project(service, http, {"documents": 1})
    await project.put("d", "k", expiresMs=1)

    async def gone() -> bool:
        return (await project.get("d", "k")).status == 404

    await soon(gone)

    async def stored() -> bool:
        return (await project.ask("POST", at("d", "k"), b"{}")).status == 201

    await soon(stored)
    full(await project.ask("PUT", at("d", "k2"), b"{}"))


async def test_a_quota_can_be_raised_lowered_and_removed(service: Running, http: ClientSession) -> None:
    project = await open_project(service, http, {"documents": 1})
    await project.put("d", "k1")

    async def allowed(quota: dict[str, int] | None, key: str, status: int) -> None:
        await declare(service, http, {"projects": [{"id": project.project, "quota": quota}]})

        async def check() -> bool:
            return (await project.ask("PUT", at("d", key), b"{}")).status == status

        await soon(check)

    await allowed({"documents": 2}, "k2", 200)
    await allowed({"documents": 1}, "k3", 429)
    await project.put("d", "k1", b"[1]")
    await allowed(None, "k3", 200)
    await declare(service, http, {"projects": [{"id": project.project, "remove": True}]})
    await project.put("d", "k4")


async def test_racing_writers_exceed_a_quota_by_at_most_the_writes_in_flight(
    service: Running, http: ClientSession
) -> None:
    project = await open_project(service, http, {"documents": 30})
    replies = await asyncio.gather(*(project.ask("PUT", at("d", f"k{n}"), b"{}") for n in range(100)))
    stored = sum(reply.status == 200 for reply in replies)
    assert 30 <= stored <= 100
    full(await project.ask("PUT", at("d", "one more"), b"{}"))


async def key_with_rate(service: Running, http: ClientSession, requests: int, seconds: float) -> Client:
    project = await open_project(service, http)
    rate = {"requests": requests, "seconds": seconds}
    name = f"rate-{project.project}"
    await declare(service, http, {"keys": [{"key": name, "id": name, "project": project.project, "rate": rate}]})
    return Client(http, service, name, project.project)


async def test_a_burst_is_allowed_and_the_next_request_gets_retry_after(service: Running, http: ClientSession) -> None:
    limited = await key_with_rate(service, http, 5, 500)
    statuses = [(await limited.get("d", "k")).status for _ in range(5)]
    assert statuses == [404] * 5
    for method, target in (("GET", at("d", "k")), ("PUT", at("d", "k")), ("GET", at("d")), ("GET", "/api/v1/whoami")):
        refused = await limited.ask(method, target, b"{}" if method == "PUT" else None)
        refused.refused(429)
        assert 1 <= int(refused.headers["Retry-After"]) <= 100


async def test_the_rate_belongs_to_the_key_and_not_to_the_project(service: Running, http: ClientSession) -> None:
    limited = await key_with_rate(service, http, 1, 1000)
    await limited.put("d", "k")
    (await limited.get("d", "k")).refused(429)
    unlimited = Client(http, service, f"key-{limited.project}", limited.project)
    assert (await unlimited.get("d", "k")).status == 200


async def test_a_request_is_allowed_after_its_retry_after(service: Running, http: ClientSession) -> None:
    limited = await key_with_rate(service, http, 2, 2)
    replies = [await limited.get("d", "k") for _ in range(4)]
    refused = next(reply for reply in replies if reply.status == 429)
    await asyncio.sleep(int(refused.headers["Retry-After"]))
    assert (await limited.get("d", "k")).status == 404


async def test_the_rate_counts_the_requests_of_all_workers(serve: Callable[..., Running], http: ClientSession) -> None:
    limited = await key_with_rate(serve(workers=2), http, 10, 1000)
    replies = await asyncio.gather(*(limited.get("d", "k") for _ in range(50)))
    assert sorted(reply.status for reply in replies) == [404] * 10 + [429] * 40


@pytest.mark.parametrize(("requests", "seconds"), [(1_000_000, 0.001), (1, 0.001), (1, 86_400), (1_000_000, 86_400)])
async def test_every_valid_rate_works(service: Running, http: ClientSession, requests: int, seconds: float) -> None:
    limited = await key_with_rate(service, http, requests, seconds)
    assert (await limited.get("d", "k")).status == 404
