"""Tests that requests with an `Idempotency-Key` are carried out once, whatever fails between the client and Redis."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator

import pytest
from aiohttp import ClientError, ClientSession, TCPConnector

from tests.dialects.ainoflow.client import Client, Reply, at, declare, on_the_wire, open_project
from tests.faults.stand import standing
from tests.raw_http import request
from tests.running import Running, soon

RETRIES = 64
LARGE = b'{"pad":"' + b"x" * 200_000 + b'"}'
WRITES = [
    ("POST", at("d"), b'{"a":1}', 201),
    ("POST", at("d", "new"), b'{"a":1}', 201),
    ("POST", at("d"), LARGE, 201),
    ("POST", at("new category"), b"[]", 201),
    ("PUT", at("d", "k"), b'{"a":1}', 200),
    ("PUT", at("d", "k"), LARGE, 200),
    ("PUT", at("d", "new", expiresMs=60_000), b"[1]", 200),
    ("PATCH", at("d", "k"), b'{"a":[1.0]}', 200),
    ("PATCH", at("d", "k"), b'{"b":"' + b"x" * 100_000 + b'"}', 200),
    ("DELETE", at("d", "k"), None, 200),
]
every_write = pytest.mark.parametrize(
    ("method", "target", "body", "status"), WRITES, ids=[f"{w[0]} {w[1][21:]} {len(w[2] or b'')}" for w in WRITES]
)


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Running]:
    with Running(workers=2) as running:
        yield running.wait_ready()


async def contents(project: Client) -> dict[str, tuple[int, bytes]]:
    """Return version and body of every document."""
    found = {}
    for category in (item["category"] for item in (await project.get()).json):
        for key in await project.keys(category):
            version = (await project.get(category, key, "meta")).json["version"]
            found[f"{category}/{key}"] = (version, (await project.get(category, key)).body)
    return found


@every_write
async def test_a_retry_gets_the_same_answer_and_changes_nothing(
    project: Client, method: str, target: str, body: bytes | None, status: int
) -> None:
    await project.put("d", "k", b'{"z":0}')
    first = await project.ask(method, target, body, Idempotency_Key="k-1")
    assert first.status == status, first.body
    await project.put("d", "k", b'{"later":true}')  # so that a second execution would show
    before = await contents(project)
    for _ in range(2):
        again = await project.ask(method, target, body, Idempotency_Key="k-1")
        assert (again.status, again.body, again.headers["Content-Type"]) == (status, first.body, "application/json")
    assert await contents(project) == before


@pytest.mark.parametrize("header", ["If_Match", "If_None_Match"])
async def test_a_retry_of_a_conditional_write_gets_the_same_answer_when_its_condition_no_longer_holds(
    project: Client, header: str
) -> None:
    etag = (await project.put("d", "k")).json["etag"]
    condition, key = {"If_Match": (f'"{etag}"', "k"), "If_None_Match": ("*", "new")}[header]
    given = {header: condition, "Idempotency_Key": "k-1"}
    first = await project.ask("PUT", at("d", key), b"[1]", **given)
    assert first.status == 200
    assert (await project.ask("PUT", at("d", key), b"[1]", **given)).body == first.body
    (await project.ask("PUT", at("d", key), b"[1]", **{header: condition})).refused(412)
    given[header] = '"another"'
    (await project.ask("PUT", at("d", key), b"[1]", **given)).refused(422)


async def test_all_lines_of_a_condition_belong_to_a_request_with_a_key(project: Client) -> None:
    etag = (await project.put("d", "k")).json["etag"]

    async def put(*lines: str) -> Reply:
        credential = f"Authorization: Bearer {project.key}"
        sent = request("PUT", at("d", "k"), b"[1]", "Idempotency-Key: k-1", *lines, credential=credential)
        return await on_the_wire(project.running, sent)

    first = await put(f'If-Match: "{etag}"', 'If-Match: "x"')
    assert (first.status, first.json["version"]) == (200, 2)
    assert (await put(f'If-Match: "{etag}"', 'If-Match: "x"')).body == first.body
    for others in ([f'If-Match: "{etag}"'], [f'If-Match: "{etag}"', 'If-Match: "y"']):
        (await put(*others)).refused(422)


@every_write
async def test_of_64_concurrent_retries_one_is_carried_out_and_all_get_its_answer(
    two_workers: Running, http: ClientSession, method: str, target: str, body: bytes | None, status: int
) -> None:
    project = await open_project(two_workers, http)
    await project.put("d", "k", b'{"z":0}')
    async with ClientSession(connector=TCPConnector(force_close=True, limit=0)) as racing:
        client = Client(racing, project.running, project.key, project.project)
        ask: Callable[[], Awaitable[Reply]] = lambda: client.ask(method, target, body, Idempotency_Key="k")  # noqa: E731
        replies = await asyncio.gather(*(ask() for _ in range(RETRIES)))
    assert {(reply.status, reply.body) for reply in replies} == {(status, replies[0].body)}
    after = await contents(project)
    named = {"d/k": after.pop("d/k")} if "d/k" in after else {}
    if method == "POST" or "new" in target:
        assert [version for version, _ in after.values()] == [1]
        assert named == {"d/k": (1, b'{"z":0}')}
    else:
        assert not after
        assert [version for version, _ in named.values()] == ([] if method == "DELETE" else [2])


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("PUT", at("d", "k"), b"[2]"),
        ("PUT", at("d", "other"), b"[1]"),
        ("PUT", at("d", "k", expiresMs=60_000), b"[1]"),
        ("POST", at("d", "k"), b"[1]"),
        ("POST", at("d"), b"[1]"),
        ("PATCH", at("d", "k"), b"[1]"),
        ("DELETE", at("d", "k"), None),
        ("PUT", at("d", "k"), LARGE),
    ],
)
async def test_the_same_key_with_another_request_is_422_and_changes_nothing(
    project: Client, method: str, target: str, body: bytes | None
) -> None:
    first = await project.ask("PUT", at("d", "k"), b"[1]", Idempotency_Key="k-1")
    before = await contents(project)
    assert "idempotency key" in (await project.ask(method, target, body, Idempotency_Key="k-1")).refused(422)
    assert await contents(project) == before
    assert (await project.ask("PUT", at("d", "k"), b"[1]", Idempotency_Key="k-1")).body == first.body


async def test_an_idempotency_key_belongs_to_its_category(project: Client) -> None:
    for category in ("one", "two"):
        reply = await project.ask("PUT", at(category, "k"), b"[1]", Idempotency_Key="k-1")
        assert (reply.status, reply.json["version"]) == (200, 1)


async def test_an_idempotency_key_belongs_to_its_caller(service: Running, http: ClientSession) -> None:
    one = await open_project(service, http)
    other = Client(http, service, f"other-{one.key}", one.project)
    await declare(service, http, {"keys": [{"key": other.key, "id": f"o-{one.project}", "project": one.project}]})
    versions = [
        (await client.ask("PUT", at("d", "k"), b"[1]", Idempotency_Key="k-1")).json["version"]
        for client in (one, other, one, other)
    ]
    assert versions == [1, 2, 1, 2]


async def test_a_refused_request_may_be_tried_again_with_its_key(project: Client) -> None:
    (await project.ask("PATCH", at("d", "k"), b"{}", Idempotency_Key="k-1")).refused(404)
    await project.put("d", "k")
    assert (await project.ask("PATCH", at("d", "k"), b"{}", Idempotency_Key="k-1")).json["version"] == 2


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\u00e9", "a\tb"])
async def test_a_malformed_key_is_refused_and_nothing_stored(project: Client, key: str) -> None:
    for method, target in (("PUT", at("d", "k")), ("POST", at("d")), ("PATCH", at("d", "k")), ("DELETE", at("d", "k"))):
        assert "Idempotency-Key" in (await project.ask(method, target, b"{}", Idempotency_Key=key)).refused(400)
    await project.nothing_stored()


@pytest.mark.parametrize("key", ["!", "~" * 255, '"8e03978e-40d5-43e8-bc93-6894a57f9324"', "{x}:*"])
async def test_an_idempotency_key_may_have_any_visible_ascii_characters(project: Client, key: str) -> None:
    for _ in range(2):
        reply = await project.ask("PUT", at("d", "k"), b"[1]", Idempotency_Key=key)
        assert (reply.status, reply.json["version"]) == (200, 1)


async def test_two_keys_in_one_request_are_refused(project: Client) -> None:
    reply = await on_the_wire(
        project.running,
        f"PUT {at('d', 'k')} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {project.key}\r\nContent-Length: 2\r\n"
        "Idempotency-Key: a\r\nidempotency-key: a\r\n\r\n{}".encode(),
    )
    reply.refused(400)
    await project.nothing_stored()


async def test_a_read_ignores_the_idempotency_key(project: Client) -> None:
    await project.put("d", "k")
    for key in ("k-1", "a b"):
        assert (await project.ask("GET", at("d", "k"), Idempotency_Key=key)).status == 200


async def test_a_remembered_answer_is_in_the_slot_of_the_record_for_a_day(project: Client) -> None:
    await project.ask("PUT", at("d", "k"), b"[1]", Idempotency_Key="k-1")
    with project.running.redis as client:
        (kept,) = client.keys(f"{{ainoflow:{project.project}:d}}o:*")
        assert 86_300 < client.ttl(kept) <= 86_400


@pytest.mark.parametrize("killed", [True, False], ids=["the worker is killed", "the client is told that nobody knows"])
@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        ("PATCH", at("d", "k"), b'{"n":"the mark"}', 200),
        ("POST", at("d"), b'["the mark"]', 201),
        ("PUT", at("d", "k"), b'["the mark"]', 200),
    ],
)
async def test_a_write_that_is_repeated_after_its_answer_was_lost_is_done_once(
    method: str, target: str, body: bytes, status: int, *, killed: bool
) -> None:
    """Redis executes the write, and its reply does not reach the worker."""
    async with standing(workers=1) as stand, ClientSession(connector=TCPConnector(force_close=True)) as http:
        project = await open_project(stand.service, http)
        await project.put("d", "k", b'{"n":0}')
        stand.proxy.mark = b"the mark"
        asking = asyncio.ensure_future(project.ask(method, target, body, Idempotency_Key="k-1"))

        async def remembered() -> bool:
            return bool(await asyncio.to_thread(stand.redis.command, "KEYS", "{*}o:*"))

        await soon(remembered)
        if killed:
            (pid,) = stand.service.worker_pids()
            os.kill(pid, signal.SIGKILL)
            assert not asking.done()
            asking.cancel()  # otherwise aiohttp would repeat the request by itself
        else:
            assert "may or may not" in (await asking).refused(503)
        stand.proxy.heal()

        async def retried() -> Reply | None:
            try:
                reply = await project.ask(method, target, body, Idempotency_Key="k-1")
            except ClientError:  # the next worker is still starting
                return None
            return reply if reply.status != 503 else None

        first = await soon(retried)
        assert first.status == status
        assert (await retried()).body == first.body  # type: ignore[union-attr]
        found = [version for version, text in (await contents(project)).values() if b"the mark" in text]
        assert found == [first.json["version"]] == [1 if method == "POST" else 2]
