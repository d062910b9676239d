"""Tests that API keys are declared, replaced, expired and revoked in every worker."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from aiohttp import ClientSession, TCPConnector

from tests.dialects.ainoflow.client import Client, at, declare, open_project
from tests.dialects.ainoflow.events import feed
from tests.raw_http import connected, request
from tests.running import Running, polystow, soon, while_it_lives

WHOAMI = "/api/v1/whoami"


async def heard(client: Client, status: int) -> None:
    """Wait until a request with this key is answered with this status."""

    async def check() -> bool:
        return (await client.ask("GET", WHOAMI)).status == status

    await soon(check)


async def statuses(running: Running, key: str, connections: int = 20) -> set[int]:
    """Return the statuses of requests with this key on many new connections, and so from all workers."""
    async with ClientSession(connector=TCPConnector(force_close=True, limit=0)) as http:
        client = Client(http, running, key, "")
        return {(await client.ask("GET", WHOAMI)).status for _ in range(connections)}


async def test_two_keys_of_one_project_see_the_same_documents(service: Running, http: ClientSession) -> None:
    project = await open_project(service, http)
    second = f"second-{project.project}"
    await declare(service, http, {"keys": [{"key": second, "id": second, "project": project.project}]})
    other = Client(http, service, second, project.project)
    await project.put("d", "k", b"[1]")
    assert (await other.get("d", "k")).body == b"[1]"
    await other.put("d", "k", b"[2]")
    meta = (await project.get("d", "k", "meta")).json
    assert (meta["createdBy"], meta["updatedBy"]) == (project.project, second)
    await project.ask("PATCH", at("d", "k"), b"{}")
    assert (await project.get("d", "k", "meta")).json["updatedBy"] == project.project


async def test_whoami_returns_the_id_and_the_project_but_never_the_key(service: Running, http: ClientSession) -> None:
    name = uuid4().hex
    await declare(service, http, {"keys": [{"key": f"secret-{name}", "id": 12345, "project": 678}]})
    reply = await Client(http, service, f"secret-{name}", "678").ask("GET", WHOAMI)
    assert reply.json == {"id": "12345", "project": "678"}
    await declare(service, http, {"keys": [{"id": 12345, "remove": True}]})


@pytest.mark.parametrize("through", ["admin", "command"])
async def test_a_revoked_key_stops_working_within_a_second_in_every_worker(
    serve: Callable[..., Running], http: ClientSession, through: str
) -> None:
    running = serve(workers=2)
    project, other = await open_project(running, http), await open_project(running, http)
    assert await statuses(running, project.key) == {200}
    section = {"keys": [{"id": project.project, "remove": True}]}
    if through == "admin":
        await declare(running, http, section)
    else:
        document = json.dumps({"ainoflow": section}).encode()
        done = await asyncio.to_thread(
            polystow, "access", "apply", "/dev/stdin", stdin=document, data_dir=running.data_dir
        )
        assert done.returncode == 0, done.stderr

    async def revoked() -> bool:
        return await statuses(running, project.key) == {401}

    await soon(revoked)
    assert await statuses(running, other.key) == {200}
    await asyncio.to_thread(running.restart)
    assert await statuses(running, project.key) == {401}
    assert await statuses(running, other.key) == {200}


@pytest.mark.parametrize("then", ["revoked", "another project's"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_arrives_after_its_key_was_revoked_is_not_written(
    service: Running, http: ClientSession, then: str, chunked: bool
) -> None:
    """A body may take minutes to arrive, and its key is known from its head."""
    project, other = await open_project(service, http), await open_project(service, http)
    slow = Client(http, service, uuid4().hex, project.project)
    key = {"key": slow.key, "id": slow.key, "project": project.project}
    await declare(service, http, {"keys": [key]})
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 10"
    first, last = (b"5\r\n[1234\r\n", b"5\r\n5678]\r\n0\r\n\r\n") if chunked else (b"[1234", b"5678]")

    async with connected(service) as wire, connected(service) as undisturbed:
        for each, target in ((wire, at("d", "slow")), (undisturbed, at("d", "before"))):
            await each.send(request("PUT", target, None, framing, credential=f"Authorization: Bearer {slow.key}"))
            await each.send(first)
        await heard(slow, 200)
        await undisturbed.send(last)
        assert (await undisturbed.response()).status == 200
        changed = {"remove": True} if then == "revoked" else {"project": other.project}
        await declare(service, http, {"keys": [key | changed]})

        async def known() -> bool:
            reply = await slow.ask("GET", WHOAMI)
            return reply.status == 401 or reply.json["project"] == other.project

        await soon(known)
        await wire.send(last)
        assert (await wire.response()).status == 401
    assert await project.keys("d") == ["before"]
    assert (await other.get("d")).json == []


@pytest.mark.parametrize("key", [None, "k-1"], ids=["without a key", "with an Idempotency-Key"])
async def test_a_body_that_arrives_late_is_written_under_the_declaration_of_that_time(
    service: Running, http: ClientSession, key: str | None
) -> None:
    """A journal that is declared while a body arrives has its write; a quota that is declared then counts for it."""
    project = await open_project(service, http)
    keyed = [["Content-Length: 2", *([f"Idempotency-Key: {key}-{number}"] if key else [])] for number in range(2)]
    credential = f"Authorization: Bearer {project.key}"

    async def has_journal() -> bool:
        return (await project.ask("GET", feed("d"))).status == 200

    async def is_full() -> bool:
        return (await project.ask("POST", at("other"), b"{}")).status == 429

    async with connected(service) as first, connected(service) as second:
        await first.send(request("PUT", at("d", "a"), None, *keyed[0], credential=credential), b"{")
        await heard(project, 200)
        journal = {"entries": 10, "seconds": 100}
        await declare(service, http, {"projects": [{"id": project.project, "journal": journal}]})
        await soon(has_journal)
        await first.send(b"}")
        assert (await first.response()).status == 200
        assert [each["key"] for each in (await project.ask("GET", feed("d"))).json["changes"]] == ["a"]

        await second.send(request("PUT", at("d", "b"), None, *keyed[1], credential=credential), b"{")
        await heard(project, 200)
        quota = {"documents": 1, "bytes": 1_000_000}
        await declare(service, http, {"projects": [{"id": project.project, "quota": quota}]})
        await soon(is_full)
        await second.send(b"}")
        assert (await second.response()).status == 429
    assert await project.keys("d") == ["a"]


async def test_a_declared_key_works_at_once_even_if_it_was_refused_before(
    service: Running, http: ClientSession
) -> None:
    name = uuid4().hex
    client = Client(http, service, f"late-{name}", name)
    (await client.ask("GET", WHOAMI)).refused(401)
    await declare(service, http, {"keys": [{"key": client.key, "id": name, "project": name}]})
    await heard(client, 200)


async def test_a_key_that_is_replaced_leaves_the_documents_to_the_new_one(
    service: Running, http: ClientSession
) -> None:
    project = await open_project(service, http)
    await project.put("d", "k", b"[1]")
    replaced = {"key": f"new-{project.project}", "id": project.project, "project": project.project}
    await declare(service, http, {"keys": [replaced]})
    new = Client(http, service, replaced["key"], project.project)
    assert (await new.get("d", "k")).body == b"[1]"
    await heard(project, 401)
    (await project.get("d", "k")).refused(401)


async def test_a_key_that_moves_to_another_project_sees_that_one(service: Running, http: ClientSession) -> None:
    project, other = await open_project(service, http), await open_project(service, http)
    await other.put("d", "k", b"[2]")
    moved = {"key": project.key, "id": project.project, "project": other.project}
    await declare(service, http, {"keys": [moved]})

    async def there() -> bool:
        return (await project.get("d", "k")).body == b"[2]"

    await soon(there)


async def test_applying_a_document_twice_has_the_effect_of_applying_it_once(
    service: Running, http: ClientSession
) -> None:
    project = await open_project(service, http)
    section = {"keys": [{"key": project.key, "id": project.project, "project": project.project}]}
    assert await declare(service, http, section) == []
    assert (await project.ask("GET", WHOAMI)).status == 200


async def test_a_key_that_is_left_out_is_generated_once(service: Running, http: ClientSession) -> None:
    name = uuid4().hex
    section = {"keys": [{"id": name, "project": name}]}
    (issued,) = await declare(service, http, section)
    assert issued["dialect"] == "ainoflow"
    assert issued["id"] == name
    client = Client(http, service, issued["token"], name)
    assert (await client.ask("GET", WHOAMI)).json == {"id": name, "project": name}
    assert await declare(service, http, section) == []
    assert (await client.ask("GET", WHOAMI)).status == 200
    await declare(service, http, {"keys": [{"id": name, "remove": True}]})
    await heard(client, 401)
    (await client.ask("GET", WHOAMI)).refused(401)
    (again,) = await declare(service, http, section)
    assert again["token"] != issued["token"]


async def test_a_key_works_until_it_expires(service: Running, http: ClientSession) -> None:
    async def works(seconds: float) -> tuple[Client, Client, datetime]:
        name = uuid4().hex
        moment = datetime.now(UTC) + timedelta(seconds=seconds)
        keys = [
            {"key": f"short-{name}", "id": f"short-{name}", "project": name, "expires": moment.isoformat()},
            {"key": f"long-{name}", "id": f"long-{name}", "project": name, "expires": "2099-01-01T00:00:00Z"},
            {"key": f"past-{name}", "id": f"past-{name}", "project": name, "expires": "2020-01-01T00:00:00"},
        ]
        await declare(service, http, {"keys": keys})
        short, long, past = (Client(http, service, str(key["key"]), name) for key in keys)
        assert (await short.ask("GET", WHOAMI)).status == 200
        (await past.ask("GET", WHOAMI)).refused(401)
        return short, long, moment

    short, long, moment = await while_it_lives(1, works)
    await soon(lambda: asyncio.sleep(0, datetime.now(UTC) > moment))
    (await short.ask("GET", WHOAMI)).refused(401)
    assert (await long.ask("GET", WHOAMI)).status == 200


UNLAWFUL = [
    {"keys": [{"key": "k"}]},
    {"keys": [{"id": "a", "key": "k"}]},
    {"keys": [{"id": "a", "project": "p", "key": "a b"}]},
    {"keys": [{"id": "a", "project": "p", "key": ""}]},
    {"keys": [{"id": "", "project": "p"}]},
    {"keys": [{"id": "a", "project": ""}]},
    {"keys": [{"id": "a" * 81, "project": "p"}]},
    {"keys": [{"id": "a", "project": "p", "rate": {"requests": 0, "seconds": 1}}]},
    {"keys": [{"id": "a", "project": "p", "rate": {"requests": 1, "seconds": 0}}]},
    {"keys": [{"id": "a", "project": "p", "rate": {"requests": 1}}]},
    {"keys": [{"id": "a", "project": "p", "expires": "tomorrow"}]},
    {"keys": [{"id": True, "project": "p"}]},
    {"keys": [{"id": "a", "project": "p", "colour": "red"}]},
    {"keys": {}},
    {"colours": []},
    {"projects": [{}]},
    {"projects": [{"id": "p", "quota": {"documents": -1}}]},
    {"projects": [{"id": "p", "quota": {"files": 1}}]},
]


@pytest.mark.parametrize("section", UNLAWFUL, ids=json.dumps)
async def test_an_invalid_section_is_refused_as_a_whole(
    service: Running, http: ClientSession, section: dict[str, object]
) -> None:
    name = uuid4().hex
    good = {"key": f"good-{name}", "id": name, "project": name}
    keys = section.get("keys", [])
    document = {"ainoflow": section | {"keys": [good, *keys] if isinstance(keys, list) else keys}}
    headers = {"Authorization": f"Bearer {service.admin_token}"}
    async with http.put(service.ops_url + "/admin/access", json=document, headers=headers) as answer:
        assert answer.status == 422
        assert "ainoflow" in (await answer.json())["error"]["message"]
    (await Client(http, service, f"good-{name}", name).ask("GET", WHOAMI)).refused(401)
