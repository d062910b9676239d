"""Tests that aiohttp has the parts that the fast path needs, and that without them the service works without it."""

import ast
from pathlib import Path

import pytest
from aiohttp.web_protocol import RequestHandler

from service.http import connection, edge
from service.http.app import start
from service.metrics import Meter
from service.settings import Settings
from tests.servers import RedisProcess, binaries

SOURCE = ast.parse(Path(connection.__file__).read_text())
USED = {node.attr for node in ast.walk(SOURCE) if isinstance(node, ast.Attribute)}


def test_this_aiohttp_has_the_private_names_that_the_fast_path_uses() -> None:
    assert connection.supported()


@pytest.mark.parametrize("name", connection.PRIVATE_NAMES)
def test_each_listed_private_name_of_aiohttp_is_used(name: str) -> None:
    assert name in USED | {node.name for node in ast.walk(SOURCE) if isinstance(node, ast.FunctionDef)}


def test_no_other_private_name_of_aiohttp_is_used() -> None:
    private = {name for name in USED if name.startswith("_") and hasattr(RequestHandler, name)}
    assert private - {"__init__"} == set(connection.PRIVATE_NAMES)


@pytest.mark.parametrize("settings", [Settings(fast_path=False), Settings()])
async def test_without_the_private_names_the_service_runs_without_the_fast_path(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr(connection, "PRIVATE_NAMES", (*connection.PRIVATE_NAMES, "_gone"))
    with RedisProcess(binaries()[0][1]) as redis:
        app = await start(settings, redis.url, Meter())
        assert type(app.server) is edge.Server
        await app.close()
