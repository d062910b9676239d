"""Tests that an expired document does not exist in any answer."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest
from aiohttp import ClientSession

from tests.dialects.ainoflow.client import DOCUMENTS, Client, at, open_project
from tests.running import Running, soon, while_it_lives


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def expired(project: Client, category: str, key: str) -> None:
    """Wait until a document has expired."""

    async def check() -> bool:
        return (await project.get(category, key)).status == 404

    await soon(check)


LAWFUL = {
    "2099-01-15T10:30:00Z": "2099-01-15T10:30:00Z",
    "2099-01-15T10:30:00": "2099-01-15T10:30:00Z",
    "2099-01-15t10:30:00z": "2099-01-15T10:30:00Z",
    "2099-01-15 10:30": "2099-01-15T10:30:00Z",
    "2099-01-15": "2099-01-15T00:00:00Z",
    "20990115T103000Z": "2099-01-15T10:30:00Z",
    "2099-W03-4": "2099-01-15T00:00:00Z",
    "2099-01-15T10:30:00.25Z": "2099-01-15T10:30:00.250000Z",
    "2099-01-15T10:30:00,123456789Z": "2099-01-15T10:30:00.123000Z",
    "2099-01-15T10:30:00+02:00": "2099-01-15T08:30:00Z",
    "2099-01-15T10:30:00-0230": "2099-01-15T13:00:00Z",
    "2099-01-15T10:30:00+02": "2099-01-15T08:30:00Z",
    "9999-12-31T23:59:59.999Z": "9999-12-31T23:59:59.999000Z",
}


@pytest.mark.parametrize(("text", "meant"), LAWFUL.items())
async def test_expires_at_is_an_iso_8601_date_which_is_utc_without_a_zone(
    project: Client, text: str, meant: str
) -> None:
    assert (await project.put("d", "k", expiresAt=text)).json["expiresAt"] == meant
    created = await project.ask("POST", at("d", "k2", expiresAt=text), b"{}")
    assert (created.status, created.json["expiresAt"]) == (201, meant)
    for key in ("k", "k2"):
        assert (await project.get("d", key, "meta")).json["expiresAt"] == meant
    assert {item["expiresAt"] for item in (await project.get("d")).json} == {meant}


async def test_an_unencoded_plus_in_a_date_is_accepted(project: Client) -> None:
    reply = await project.ask("PUT", at("d", "k") + "?expiresAt=2099-01-15T10:30:00+02:00", b"{}")
    assert reply.json["expiresAt"] == "2099-01-15T08:30:00Z"


async def test_expires_ms_counts_from_the_time_of_the_write(project: Client) -> None:
    reply = await project.put("d", "k", expiresMs=3_600_000)
    written = instant((await project.get("d", "k", "meta")).json["updatedAt"])
    difference = instant(reply.json["expiresAt"]) - written
    assert timedelta(hours=1, milliseconds=-1) <= difference <= timedelta(hours=1)


async def test_the_longest_lifetime_ends_in_the_year_9999(project: Client) -> None:
    reply = await project.put("d", "k", expiresAt="9999-12-31T23:59:59Z")
    assert reply.json["expiresAt"] == "9999-12-31T23:59:59Z"
    reply = await project.put("d", "k", expiresMs=250_000_000_000_000)
    assert reply.json["expiresAt"][:2] == "99"
    (await project.ask("PUT", at("d", "k", expiresMs=250_000_000_000_001), b"{}")).refused(400)


async def test_put_sets_the_expiry_and_put_without_one_clears_it(project: Client) -> None:
    await project.put("d", "k", expiresAt="2099-01-01")
    ended = instant((await project.put("d", "k", expiresMs=500)).json["expiresAt"])
    assert (await project.put("d", "k", b"[1]")).json["expiresAt"] is None
    await soon(lambda: asyncio.sleep(0, datetime.now(UTC) > ended + timedelta(milliseconds=2)))
    assert (await project.get("d", "k")).body == b"[1]"
    assert await project.keys("d") == ["k"]


async def test_a_patch_does_not_change_the_expiry(project: Client) -> None:
    async def patched(seconds: float) -> None:
        await project.put("d", "k", expiresMs=round(seconds * 1000))
        assert (await project.ask("PATCH", at("d", "k"), b'{"a":1}')).status == 200

    await while_it_lives(0.4, patched)
    await expired(project, "d", "k")
    (await project.ask("PATCH", at("d", "k"), b'{"a":1}')).refused(404)


async def test_an_expired_document_does_not_exist(project: Client) -> None:
    await project.put("d", "k", expiresMs=1)
    await expired(project, "d", "k")
    (await project.get("d", "k", "meta")).refused(404)
    assert (await project.get("d", "k", allowEmpty="true")).body == b"{}"
    (await project.ask("DELETE", at("d", "k"))).refused(404)
    (await project.ask("PATCH", at("d", "k"), b"{}")).refused(404)
    (await project.ask("PUT", at("d", "k"), b"{}", If_Match="*")).refused(412)
    listed = await project.get("d", aggregate="true")
    assert (listed.json["items"], listed.json["totalCount"]) == ([], 0)
    await project.nothing_stored()
    created = await project.ask("POST", at("d", "k"), b"{}")
    assert (created.status, created.json["version"], created.json["expiresAt"]) == (201, 1, None)


HALF = 1000


async def fill(project: Client, numbers: Iterable[int], **query: str) -> None:
    """Store documents k0000, k0001, ... with falling sizes."""
    busy = asyncio.Semaphore(64)

    async def put(n: int) -> None:
        async with busy:
            await project.put("half", f"k{n:04}", b'["%b"]' % (b"x" * (3000 - n)), **query)

    await asyncio.gather(*map(put, numbers))


async def exact(project: Client) -> None:
    """Check that every list, total and count has exactly the half that has not expired, in every order."""
    living = [f"k{n:04}" for n in range(0, 2 * HALF, 2)]
    assert (await project.ask("GET", DOCUMENTS)).json == [{"category": "half", "count": HALF}]
    for sort, expected in (("key", living), ("size", living[::-1])):
        assert await project.keys("half", sortBy=sort, limit=1000) == expected
        assert await project.keys("half", sortBy=sort, sortOrder="desc", limit=1000) == expected[::-1]
        paged = [await project.keys("half", sortBy=sort, limit=300, page=page) for page in range(1, 6)]
        assert [len(page) for page in paged] == [300, 300, 300, 100, 0]
        assert [key for page in paged for key in page] == expected
    for sort in ("createdAt", "updatedAt"):
        reply = await project.get("half", sortBy=sort, limit=1000)
        assert sorted(item["key"] for item in reply.json) == living
        assert [item[sort] for item in reply.json] == sorted(item[sort] for item in reply.json)
        assert (reply.headers["X-Total-Count"], reply.headers["X-Total-Pages"]) == (str(HALF), "1")
    totals = (await project.get("half", aggregate="true", page=20, limit=50)).json
    assert (len(totals["items"]), totals["totalCount"], totals["totalPages"]) == (50, HALF, 20)


async def test_when_half_of_2000_documents_expire_every_answer_is_exact_at_once(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    running = serve()
    project = await open_project(running, http)
    began = monotonic()
    await fill(project, range(2 * HALF))
    # The lifetime is long enough to write half of the documents again, also on a slow machine.
    moment = datetime.now(UTC) + timedelta(seconds=1 + 2 * (monotonic() - began))
    await fill(project, range(1, 2 * HALF, 2), expiresAt=moment.isoformat())
    assert (await project.ask("GET", DOCUMENTS)).json == [{"category": "half", "count": 2 * HALF}]
    await asyncio.sleep((moment - datetime.now(UTC)).total_seconds() + 0.002)  # after its last millisecond
    await exact(project)
    await asyncio.to_thread(running.restart)
    await exact(project)


async def test_documents_that_expired_while_the_service_was_stopped_are_gone(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    running = serve()
    project = await open_project(running, http)
    await asyncio.gather(*(project.put("d", f"k{n}", expiresMs=1500) for n in range(50)))
    await project.put("d", "kept")
    assert await asyncio.to_thread(running.stop) == 0
    await asyncio.sleep(1.5)
    await asyncio.to_thread(running.restart)
    assert (await project.ask("GET", DOCUMENTS)).json == [{"category": "d", "count": 1}]
    assert await project.keys("d") == ["kept"]
