"""Tests that aiohttp has the parts that the fast path needs, and that without them the service works without it."""

import ast
from pathlib import Path

import pytest
from aiohttp.web_protocol import RequestHandler

from service.http import connection as hot
from service.http import edge
from service.http.app import start
from service.metrics import Meter
from service.settings import Settings
from tests.servers import RedisProcess, binaries

SOURCE = ast.parse(Path(hot.__file__).read_text())
USED = {node.attr for node in ast.walk(SOURCE) if isinstance(node, ast.Attribute)}


def test_this_aiohttp_has_what_the_fast_path_leans_on() -> None:
    assert hot.supported()


@pytest.mark.parametrize("name", hot.LEANS_ON)
def test_what_it_says_to_lean_on_it_uses(name: str) -> None:
    assert name in USED | {node.name for node in ast.walk(SOURCE) if isinstance(node, ast.FunctionDef)}


def test_it_leans_on_nothing_else_that_is_private() -> None:
    private = {name for name in USED if name.startswith("_") and hasattr(RequestHandler, name)}
    assert private - {"__init__"} == set(hot.LEANS_ON)


@pytest.mark.parametrize("settings", [Settings(fast_path=False), Settings()])
async def test_without_it_the_service_does_without(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(hot, "LEANS_ON", (*hot.LEANS_ON, "_gone"))
    with RedisProcess(binaries()[0][1]) as redis:
        app = await start(settings, redis.url, Meter())
        assert type(app.server) is edge.Server
        await app.close()
