"""Tests a service whose Redis does not answer: 503 in the vendor's format, and never a part that looks complete."""

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import ClientPayloadError, ClientSession

from tests.dialects.ainoflow.client import DOCUMENTS, at, open_project
from tests.running import Running, paused, soon


async def test_without_redis_requests_get_503_and_afterwards_they_work_again(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    project = await open_project(serve(request_timeout=0.5), http)
    await project.put("d", "k", b"[1]")
    with paused(project.running.redis_pid()):
        for method, target in (
            ("GET", at("d", "k")),
            ("GET", at("d", "k", "meta")),
            ("GET", at("d")),
            ("GET", DOCUMENTS),
            ("PUT", at("d", "k")),
            ("POST", at("d")),
            ("PATCH", at("d", "k")),
            ("DELETE", at("d", "k")),
        ):
            reply = await project.ask(method, target, b"{}" if method.startswith("P") else None)
            reply.refused(503)
            assert int(reply.headers["Retry-After"]) >= 1

    async def works() -> bool:
        return (await project.ask("PUT", at("d", "k2"), b"{}")).status == 200

    await soon(works)


async def test_a_list_that_cannot_be_completed_is_cut_off_and_never_looks_complete(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    project = await open_project(serve(request_timeout=1), http)
    body = b'{"a":"%b"}' % (b"x" * 500_000)
    for n in range(60):  # one after the other, so that each is in time on a slow machine
        await project.put("d", f"k{n}", body)
    headers = {"Authorization": f"Bearer {project.key}"}
    url = project.running.url + at("d", limit=100)
    async with ClientSession(read_bufsize=64 * 1024) as slow, slow.get(url, headers=headers) as answer:
        assert answer.status == 200
        await answer.content.readexactly(1000)
        with paused(project.running.redis_pid()), pytest.raises(ClientPayloadError):
            await answer.read()


async def test_all_documents_are_there_after_redis_was_killed(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    project = await open_project(serve(appendfsync="always"), http)
    for n in range(50):
        await project.put("d", f"k{n:02}", b"[%d]" % n)
    await asyncio.to_thread(project.running.kill_redis)

    async def works() -> bool:
        return (await project.get("d", "k00")).status == 200

    await soon(works)
    assert [(await project.get("d", f"k{n:02}")).json for n in range(50)] == [[n] for n in range(50)]
    assert await project.keys("d", sortBy="key") == [f"k{n:02}" for n in range(50)]


async def test_a_write_that_may_have_been_done_has_another_message_than_one_that_was_not(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    project = await open_project(serve(request_timeout=0.5), http)
    await project.put("d", "k", b"[1]")
    with paused(project.running.redis_pid()):
        sent = await project.ask("PUT", at("d", "k"), b"[2]")
        assert "may or may not" in sent.refused(503)
        assert "cannot be reached" in (await project.get("d", "k")).refused(503)
