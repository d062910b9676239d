"""Tests that invalid answers of a vendor end a migration with a message, not with a traceback or an endless loop."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import md5
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import ClientSession, web

from service.migration.agent_storage import AgentStorage
from service.migration.command import Migration, migrate_ainoflow, migrate_avaamo
from service.migration.documents import Documents
from service.migration.extension_storage import ExtensionStorage
from service.migration.outcome import Refused
from service.migration.state import Progress
from service.remote.client import Remote, Reply
from service.settings import BadSetting
from tests.remote.proxy import Forward, proxied
from tests.running import Running

ROW: dict[str, Any] = {"key": "k", "value": "v", "id": 1, "created_at": 1.0, "updated_at": 1.0, "user": {"id": 1}}
ETAG = md5(b"{}").hexdigest()
META: dict[str, Any] = {"version": 1, "etag": ETAG, "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01"}


@asynccontextmanager
async def vendor(body: bytes) -> AsyncIterator[Remote]:
    """Start a vendor that gives this answer to every request."""

    async def behaviour(request: web.Request, forward: Forward) -> Reply:
        return Reply(200, {}, body)

    async with proxied("http://unused", behaviour) as url, ClientSession() as http:
        yield Remote(http, url, attempts=1)


def page(**members: object) -> bytes:
    return json.dumps({"total_entries": 1, "total_pages": 1, "storage": [ROW | members]}).encode()


@pytest.mark.parametrize(
    "body",
    [
        page(created_at=1e308),
        page(updated_at=-1),
        page(id=0),
        page(id=1 << 60),
        page(user={"id": -1}),
        page(value="?").replace(b"?", b"\xff"),
    ],
    ids=["time", "negative", "zero", "large", "user", "not UTF-8"],
)
async def test_a_row_that_cannot_be_stored_is_refused(body: bytes) -> None:
    async with vendor(body) as remote:
        with pytest.raises(Refused, match="page 1"):
            await AgentStorage(remote, "1").page(1)


def at(running: Running) -> str:
    return f"unix://{running.data_dir}/redis.sock"


async def test_endless_empty_pages_end_a_migration(service: Running) -> None:
    body = b'{"total_entries": 0, "total_pages": 999999999, "storage": []}'
    async with vendor(body) as remote:
        assert await migrate_avaamo(at(service), Migration(remote.base, "t"), "987654", {}) == 0


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"version": 0}, "`int` >= 1"),
        ({"version": 1 << 53}, "`int` <= 9007199254740991"),
        ({"createdAt": "1950-01-01"}, "a time in the metadata cannot be kept"),
        ({"updatedAt": "9999-01-01"}, "a time in the metadata cannot be kept"),
    ],
    ids=["zero", "large", "early", "late"],
)
async def test_metadata_that_cannot_be_stored_ends_a_migration(
    service: Running, members: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def behaviour(request: web.Request, forward: Forward) -> Reply:
        answer: object = META | members if request.path.endswith("/meta") else [{"key": "k", "value": {}}]
        return Reply(200, {"X-Total-Count": "1"}, json.dumps(answer).encode())

    async with proxied("http://unused", behaviour) as url:
        wanted = Migration(url, "t")
        assert await migrate_ainoflow(at(service), wanted, incoming=True, project="hostile", categories=["c"]) == 1
    assert message in capsys.readouterr().err


async def test_a_vendor_that_answers_each_page_with_the_first_ends_a_migration(
    service: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    async def behaviour(request: web.Request, forward: Forward) -> Reply:
        if request.path.endswith("/meta"):
            return Reply(200, {}, json.dumps(META).encode())
        if "limit" in (query := parse_qs(urlsplit(request.raw_path).query)):
            listed = [{"key": f"k{number}", "value": {}} for number in range(int(query["limit"][0]))]
            return Reply(200, {"X-Total-Count": "1000000"}, json.dumps(listed).encode())
        return Reply(200, {}, b"{}")

    async with proxied("http://unused", behaviour) as url:
        wanted = Migration(url, "t")
        assert await migrate_ainoflow(at(service), wanted, incoming=True, project="hostile", categories=["c"]) == 1
    assert "on several pages" in capsys.readouterr().err


async def test_a_vendor_of_variables_whose_pages_repeat_for_ever_ends_a_migration(
    service: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    async def behaviour(request: web.Request, forward: Forward) -> Reply:
        asked = int(parse_qs(urlsplit(request.raw_path).query)["page"][0])
        return Reply(200, {}, json.dumps({"total_entries": 9, "total_pages": asked + 1, "storage": [ROW]}).encode())

    async with proxied("http://unused", behaviour) as url:
        assert await migrate_avaamo(at(service), Migration(url, "t"), "987655", {}) == 1
    assert "no variable that was not on a page before" in capsys.readouterr().err


@pytest.mark.parametrize("position", ["x", "-1", "1e3", "9" * 5000, "\u0661", "1 2"])
def test_a_state_with_an_invalid_position_is_refused(position: str) -> None:
    with pytest.raises(BadSetting, match="numbers as positions"):
        Progress(position).numbers(0)


async def test_a_count_of_thousands_of_digits_is_refused() -> None:
    async def behaviour(request: web.Request, forward: Forward) -> Reply:
        return Reply(200, {"X-Total-Count": "9" * 5000}, b"[]")

    async with proxied("http://unused", behaviour) as url, ClientSession() as http:
        with pytest.raises(Refused, match="X-Total-Count"):
            await Documents(Remote(http, url)).count("c")


async def test_an_invalid_url_of_a_file_is_refused() -> None:
    body = b'{"code": 0, "objects": {"1": {"k": {"file_name": "f", "url": "http://["}}}}'
    async with vendor(body) as remote, ClientSession() as http:
        with pytest.raises(Refused, match="URL"):
            await ExtensionStorage(http, remote, "fields").download("1", "k")
