"""Tests the cost of requests: commands, the time for which each occupies Redis, and memory of answers."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial

import pytest
from aiohttp import ClientSession
from redis import Redis

from tests.dialects.ainoflow.client import DOCUMENTS, Client, at
from tests.memory import MEBIBYTE, resident_of_worker
from tests.running import Running, eventually
from tests.sent_commands import sent_commands
from tests.slow_commands import slow_commands

NAMES = [f"project-{n:03}" for n in range(100)]
UNUSED = iter(NAMES)  # each test takes one
JOURNALED = "journaled"
ENTRIES = 1000  # entries that its journal keeps for each category


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that no other test uses, and that does not sweep, because another worker seems to have the lease.

    Its worker has cached all declarations from the start, so that nothing is looked up later.
    """
    keys = [{"key": f"key-{name}", "id": name, "project": name} for name in NAMES]
    file = tmp_path_factory.mktemp("access") / "access.yaml"
    keys.append({"key": f"key-{JOURNALED}", "id": JOURNALED, "project": JOURNALED})
    projects = [{"id": JOURNALED, "journal": {"entries": ENTRIES}}]
    file.write_text(json.dumps({"ainoflow": {"keys": keys, "projects": projects}}))
    with Running(access=file, read_cache_bytes=0) as running:
        running.wait_ready()
        with running.redis as client:
            client.set("polystow:sweeper", "a test")
        yield running


@pytest.fixture
async def alone(idle: Running, http: ClientSession) -> Client:
    """A project with a document and a category that are cached everywhere, so that nothing must be looked up."""
    name = next(UNUSED)
    project = Client(http, idle, f"key-{name}", name)
    for key in ("known", "k"):
        await project.put("d", key, b'{"a":1}')
    return project


ONE_COMMAND = [
    ("PUT", at("d", "k"), b'{"a":2}', "FCALL"),
    ("PUT", at("d", "new", expiresMs=60_000), b"{}", "FCALL"),
    ("POST", at("d", "new"), b"{}", "FCALL"),
    ("POST", at("d"), b"{}", "FCALL"),
    ("PATCH", at("d", "k"), b'{"b":{"c":null}}', "FCALL"),
    ("DELETE", at("d", "k"), None, "FCALL"),
    ("GET", at("d", "k"), None, "GET"),
    ("HEAD", at("d", "k"), None, "GET"),
    ("GET", at("d", "k", "meta"), None, "GET"),
    ("GET", at("d", "none"), None, "GET"),
    ("GET", at("d", "none", allowEmpty="true"), None, "GET"),
    ("PATCH", at("d", "none"), b"{}", "FCALL"),
    ("POST", at("d", "k"), b"{}", "FCALL"),
]


@pytest.mark.parametrize(("method", "target", "body", "command"), ONE_COMMAND)
async def test_a_request_about_one_document_is_one_command(
    alone: Client, method: str, target: str, body: bytes | None, command: str
) -> None:
    with sent_commands(alone.running, alone.project) as sent:
        assert (await alone.ask(method, target, body)).status < 500
    assert sent == [command]


@pytest.mark.parametrize(
    ("method", "target", "commands_sent"),
    [
        ("PUT", at("d", "k"), ["GET", "FCALL"]),
        ("POST", at("d"), ["GET", "FCALL"]),
        ("DELETE", at("d", "k"), ["GET", "FCALL"]),
        ("PATCH", at("d", "k"), ["GET", "GET", "FCALL"]),
    ],
)
async def test_an_idempotency_key_costs_one_get_and_a_retry_is_one_get(
    alone: Client, method: str, target: str, commands_sent: list[str]
) -> None:
    body = None if method == "DELETE" else b"{}"
    with sent_commands(alone.running, alone.project) as sent:
        await alone.ask(method, target, body, Idempotency_Key="k-1")
    assert sent == commands_sent
    with sent_commands(alone.running, alone.project) as sent:
        await alone.ask(method, target, body, Idempotency_Key="k-1")
    assert sent == ["GET"]


@pytest.mark.parametrize("header", ["If_Match", "If_None_Match"])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_condition_on_existence_costs_no_command(alone: Client, method: str, header: str) -> None:
    with sent_commands(alone.running, alone.project) as sent:
        await alone.ask(method, at("d", "k"), None if method == "DELETE" else b"{}", **{header: "*"})
    assert sent == ["FCALL"]


async def test_a_condition_on_an_etag_costs_one_get(alone: Client) -> None:
    etag = (await alone.get("d", "k")).headers["ETag"]
    with sent_commands(alone.running, alone.project) as sent:
        assert (await alone.ask("PUT", at("d", "k"), b"{}", If_Match=etag)).status == 200
    assert sent == ["GET", "FCALL"]


@pytest.mark.parametrize("target", ["/api/v1/whoami", at("d", "x" * 201), at("d", limit=0), "/api/v1/nothing"])
async def test_a_request_that_needs_no_document_sends_redis_nothing(alone: Client, target: str) -> None:
    with sent_commands(alone.running, alone.project) as sent:
        await alone.ask("GET", target)
        await alone.ask("PUT", at("d", "k"), b"no document")
    assert sent == []


async def test_redis_executes_one_script_per_write_and_one_get_per_read(alone: Client) -> None:
    count = 100
    with sent_commands(alone.running, alone.project) as written:
        for n in range(count):
            await alone.put("d", f"k{n}", b'{"a":1}')
            assert (await alone.ask("PATCH", at("d", f"k{n}"), b'{"a":2}')).status == 200
            assert (await alone.ask("DELETE", at("d", f"k{n}"))).status == 200
    assert written == ["FCALL"] * 3 * count
    with sent_commands(alone.running, alone.project) as read:
        for _ in range(count):
            await alone.get("d", "known")
    assert read == ["GET"] * count


async def held(
    running: Running,
    operation: Callable[[], Awaitable[object]],
    prepare: Callable[[], Awaitable[object]] | None = None,
) -> list[str]:
    """Return the commands that blocked Redis for too long while the operation ran."""
    with running.redis as client:
        return await slow_commands(client.execute_command, operation, prepare)


def shapes(size: int) -> dict[str, bytes]:
    """Return documents of about this size whose shapes make a merge slow."""
    flat = json.dumps({f"member{n}": n for n in range(size // 18)})
    nested = json.dumps({f"m{n}": {"a": {"b": [n, {}]}, "c": "d"} for n in range(size // 48)})
    deep = '{"a":' * 500 + f'{{"pad":"{"x" * size}"}}' + "}" * 500
    escapes = json.dumps({"a": '"' * (size // 2), "b": 1})
    numbers = json.dumps({"a": list(range(size // 7)), "b": 1})
    brackets = json.dumps({"a": "}{][" * (size // 8), "b": {"c": [[]] * (size // 8)}})
    return {
        name: text.encode()
        for name, text in {
            "flat": flat,
            "nested": nested,
            "deep": deep,
            "escapes": escapes,
            "numbers": numbers,
            "brackets": brackets,
        }.items()
    }


PATCHES = [b'{"member77":null,"m77":{"a":{"b":null}},"a":{"a":{"a":1}},"b":{"c":1},"new":{"x":[1]}}', b'{"z":1}']


@pytest.mark.parametrize("size", [60_000, 126_000, 2_000_000])
@pytest.mark.parametrize("shape", shapes(0))
async def test_no_patch_holds_redis_for_long(alone: Client, shape: str, size: int) -> None:
    document = shapes(size)[shape]

    async def patch() -> None:
        await alone.put("d", "large", document)
        for change in PATCHES:
            assert (await alone.ask("PATCH", at("d", "large"), change)).status == 200

    assert await held(alone.running, patch) == []


@pytest.mark.parametrize("size", [31_000, 100_000, 500_000, 2_000_000, 10 * MEBIBYTE])
async def test_no_large_document_holds_redis_for_long(alone: Client, size: int) -> None:
    document = b'{"a":"%b"}' % (b"x" * (size - 8))

    async def use() -> None:
        await alone.put("d", "large", document)
        assert (await alone.ask("POST", at("d", "created"), document)).status == 201
        assert (await alone.get("d", "large")).body == document
        assert len((await alone.get("d", sortBy="size")).body) > 2 * size
        assert (await alone.ask("PATCH", at("d", "created"), b'{"a":null}')).status == 200
        for key in ("large", "created"):
            assert (await alone.ask("DELETE", at("d", key))).status == 200

    assert await held(alone.running, use) == []


def many(op: str, size: int, **more: object) -> bytes:
    """Return a batch of 100 operations on documents of this size."""
    value = {} if op == "delete" else {"value": {"v": "x" * (size - 8)}}
    return json.dumps({"operations": [{"op": op, "key": f"k{n}", **value, **more} for n in range(100)]}).encode()


BATCHES = [many("put", 9_900), many("put", 9_900, expiresMs=60_000), many("patch", 9_900), many("delete", 0)]


@pytest.mark.parametrize("present", [False, True])
@pytest.mark.parametrize("body", BATCHES, ids=["put", "put with expiry", "patch", "delete"])
async def test_no_batch_of_a_hundred_documents_of_10_kb_holds_redis_for_long(
    alone: Client, body: bytes, present: bool
) -> None:
    """A batch of a megabyte: 100 documents of 9,900 bytes and their operations."""
    if not present and body in BATCHES[2:]:
        body = body.replace(b"patch", b"create").replace(b'"delete"', b'"put", "value": []')

    async def batch(body: bytes) -> None:
        assert (await alone.ask("POST", "/api/v1/storage/batch/b", body)).status == 200

    async def prepare() -> None:
        await batch(many("put", 9_900))
        if not present:
            await batch(many("delete", 0))

    assert await held(alone.running, partial(batch, body), prepare) == []


@pytest.mark.parametrize("body", BATCHES, ids=["put", "put with expiry", "patch", "delete"])
async def test_no_batch_that_enters_and_trims_a_long_journal_holds_redis_for_long(
    idle: Running, http: ClientSession, body: bytes
) -> None:
    """Each batch adds 100 entries of 10 KB, or 100 of deletes, to a full journal, and removes the excess."""
    project = Client(http, idle, f"key-{JOURNALED}", JOURNALED)

    async def batch(body: bytes) -> None:
        assert (await project.ask("POST", "/api/v1/storage/batch/b", body)).status == 200

    for _ in range(ENTRIES // 100 + 2):
        await batch(many("put", 9_900))
    assert await held(idle, partial(batch, body), partial(batch, many("put", 9_900))) == []
    answer = await project.ask("GET", "/api/v1/storage/changes/b?since=oldest&limit=1")
    assert answer.json["changes"][0]["version"] > 1  # the first ones are gone


async def test_a_batch_is_one_command_and_its_etags_cost_two_more(alone: Client) -> None:
    target = "/api/v1/storage/batch/d"
    plain = b'{"operations":[{"op":"put","key":"k","value":{}},{"op":"delete","key":"k","ifMatch":"*"}]}'
    await alone.ask("POST", target, plain)
    with sent_commands(alone.running, alone.project) as sent:
        assert (await alone.ask("POST", target, plain)).status == 200
    assert sent == ["FCALL"]
    with sent_commands(alone.running, alone.project) as sent:
        patch = b'{"operations":[{"op":"patch","key":"known","value":{}},{"op":"put","key":"k","value":{}}]}'
        assert (await alone.ask("POST", target, patch)).status == 200
    assert sent == ["STRLEN", "MGET", "FCALL"]


async def fill(project: Client, category: str, count: int, body: bytes, **query: object) -> None:
    busy = asyncio.Semaphore(16)

    async def put(n: int) -> None:
        async with busy:
            await project.put(category, f"k{n:04}", body, **query)

    await asyncio.gather(*(put(n) for n in range(count)))


async def test_no_list_of_many_documents_holds_redis_for_long(alone: Client) -> None:
    await fill(alone, "many", 3000, b'{"a":1}')

    async def read() -> None:
        for sort in ("key", "createdAt", "updatedAt", "size"):
            for order in ("asc", "desc"):
                assert len(await alone.keys("many", sortBy=sort, sortOrder=order, limit=1000, page=2)) == 1000
        assert (await alone.ask("GET", DOCUMENTS)).status == 200

    assert await held(alone.running, read) == []


async def test_no_list_with_many_expired_documents_holds_redis_for_long(alone: Client) -> None:
    async def expire() -> None:
        await fill(alone, "short", 1000, b'{"a":1}', expiresMs=1)
        with alone.running.redis as client:
            written = now(client)
            eventually(lambda: now(client) > written + 2)

    async def read() -> None:
        assert await alone.keys("short", limit=1000) == []

    assert await held(alone.running, read, expire) == []


def now(client: Redis) -> int:
    """Return the time of Redis's clock (ms)."""
    seconds, micros = client.time()
    return seconds * 1000 + micros // 1000


def output_buffers(running: Running) -> int:
    """Return the bytes of replies that Redis holds because they are not read yet."""
    with running.redis as client:
        return sum(int(each["omem"]) for each in client.client_list())


async def slowly(content: AsyncIterator[bytes], look: Callable[[], None]) -> bytes:
    """Read a body, and pause after each mebibyte to check."""
    body, looked = bytearray(), 0
    async for piece in content:
        body += piece
        if len(body) - looked > MEBIBYTE:
            await asyncio.sleep(0.01)
            await asyncio.to_thread(look)
            looked = len(body)
    return bytes(body)


async def test_1000_documents_of_100_kb_are_streamed_with_memory_bounded_on_both_sides(alone: Client) -> None:
    running, document = alone.running, b'{"a":"%b"}' % (b"x" * 99_992)
    await fill(alone, "pages", 1000, document)
    before, residents, buffers = resident_of_worker(running), [0], [0]

    def look() -> None:
        residents.append(resident_of_worker(running))
        buffers.append(output_buffers(running))

    async def read() -> None:
        headers = {"Authorization": f"Bearer {alone.key}"}
        url = running.url + at("pages", limit=1000, sortBy="key")
        async with ClientSession(read_bufsize=64 * 1024) as slow, slow.get(url, headers=headers) as answer:
            assert answer.status == 200
            await asyncio.sleep(0.5)  # a reader that does not read at all
            body = await slowly(answer.content.iter_any(), look)
        assert body.count(document) == 1000
        assert [item["key"] for item in json.loads(body)] == [f"k{n:04}" for n in range(1000)]

    assert await held(running, read) == []
    assert max(residents) - before < 48 * MEBIBYTE
    assert max(buffers) < 8 * MEBIBYTE
