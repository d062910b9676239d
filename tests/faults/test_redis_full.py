"""Tests a service whose Redis is out of memory.

Writes are refused and leave nothing behind, reads and deletes work, and writes work again when memory is free.
"""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from tests.dialects.ainoflow.client import DOCUMENTS, Client, at, open_project
from tests.faults.stand import Stand, standing

LARGE = b'{"pad":"%b"}' % (b"x" * 100_000)


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    async with standing(workers=1) as stand:
        yield stand


async def listed(project: Client) -> bytes:
    """Return everything in the project, as clients see it."""
    return (await project.get("d", limit=100)).body + (await project.ask("GET", DOCUMENTS)).body


async def test_with_full_memory_writes_are_refused_completely_and_reads_and_deletes_work(
    stand: Stand, http: ClientSession
) -> None:
    project = await open_project(stand.service, http)
    for name, body in (("a", b'{"n":1}'), ("b", b"[2]"), ("large", LARGE)):
        await project.put("d", name, body)
    before = await listed(project)
    await stand.configure("maxmemory", "1")
    for method, target, body in (
        ("PUT", at("d", "a"), b"[]"),
        ("PUT", at("d", "new"), b"[]"),
        ("PUT", at("d", "new"), LARGE),
        ("POST", at("d"), b"[]"),
        ("POST", at("d", "new"), LARGE),
        ("POST", at("other", "new", expiresMs=99999), b"{}"),
        ("PATCH", at("d", "a"), b'{"n":2}'),
        ("PATCH", at("d", "large"), LARGE),
    ):
        reply = await project.ask(method, target, body)
        assert "memory is full" in reply.refused(429)
    assert await listed(project) == before
    assert (await project.get("d", "large")).body == LARGE
    assert (await project.get("d", "a", "meta")).json["version"] == 1
    assert (await project.ask("DELETE", at("d", "b"))).status == 200
    assert (await stand.fsck())[0] == 0
    await stand.configure("maxmemory", "0")
    assert (await project.put("d", "a", b"[3]")).json["version"] == 2
    assert await project.keys("d", sortBy="key") == ["a", "large"]


async def test_deletes_free_a_memory_that_is_really_full(stand: Stand, http: ClientSession) -> None:
    """The clients fill the memory themselves, up to the last write that fits."""
    project = await open_project(stand.service, http)
    used = int(stand.redis.command("INFO", "memory")["used_memory"])
    await stand.configure("maxmemory", str(used + 3_000_000))
    stored = 0
    while (reply := await project.ask("PUT", at("d", f"k{stored}"), LARGE)).status == 200:
        stored += 1
        assert stored < 100
    assert "memory is full" in reply.refused(429)
    assert len(await project.keys("d", limit=100)) == stored
    for n in range(5):
        assert (await project.ask("DELETE", at("d", f"k{n}"))).status == 200
    for n in range(3):
        await project.put("d", f"again{n}", LARGE)
    assert (await stand.fsck())[0] == 0
