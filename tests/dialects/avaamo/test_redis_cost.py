"""Tests the cost of requests: the commands that each sends when its token, its user and the names are cached."""

import json
from collections.abc import Iterator

import pytest
from aiohttp import ClientSession

from tests.dialects.avaamo.client import Client, global_storage, set_storage, storages
from tests.running import Running
from tests.sent_commands import sent_commands

AGENT = 4711


@pytest.fixture(scope="module", params=[True, False], ids=["fast path", "ordinary path"])
def idle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that no other test uses."""
    file = tmp_path_factory.mktemp("access") / "access.yaml"
    tokens = [{"token": "t", "agents": {AGENT: "edit"}}]
    file.write_text(json.dumps({"avaamo": {"agents": [{"id": AGENT}], "tokens": tokens}}))
    with Running(access=file, read_cache_bytes=0, fast_path=request.param) as running:
        yield running.wait_ready()


@pytest.fixture
async def alone(idle: Running, http: ClientSession) -> Client:
    client = Client(http, idle, "t", AGENT)
    await client.set("known", "k", "v")
    await client.list()
    return client


SETTING = b'{"key":"k","value":"v2","bot_id":%d}' % AGENT
ONE_COMMAND = [
    ("POST", set_storage("known"), SETTING),
    ("POST", set_storage("known"), SETTING.replace(b'"k"', b'"new"')),
    ("GET", storages(AGENT), None),
    ("GET", storages(AGENT, page=2), None),
    ("GET", storages(AGENT, key="k"), None),
    ("GET", storages(AGENT, key="k", value="v", start_date="01/01/2020"), None),
    ("HEAD", storages(AGENT), None),
    ("GET", storages(AGENT, user_id=1, key="k"), None),
    ("GET", storages(AGENT, user_id=1, value="v"), None),
    ("PUT", global_storage("g", bot_id=AGENT), b'{"value":"v"}'),
    ("GET", global_storage("g", bot_id=AGENT), None),
    ("DELETE", global_storage("g", bot_id=AGENT), None),
    ("POST", f"/dashboard/agents/{AGENT}/clear_data.json", b'{"data_types":["storage_data"]}'),
]


@pytest.mark.parametrize(("method", "target", "body"), ONE_COMMAND)
async def test_a_request_is_one_command(alone: Client, method: str, target: str, body: bytes | None) -> None:
    with sent_commands(alone.running, "{avaamo") as sent:
        assert (await alone.ask(method, target, body)).status in (200, 201, 404)
    assert sent == ["FCALL"]


async def test_the_first_write_for_a_user_costs_two_more_commands(alone: Client) -> None:
    with sent_commands(alone.running, "{avaamo") as sent:
        await alone.set(f"first seen at {alone.running.url}", "k", "v")
        await alone.set(f"first seen at {alone.running.url}", "k", "v")
    assert sent == ["FCALL"] * 4  # the permission, the user's number, and two sets


async def test_a_caller_without_write_permission_creates_no_user(idle: Running, http: ClientSession) -> None:
    client = Client(http, idle, "t", AGENT + 1)
    with idle.redis as redis:
        before = redis.hlen("{avaamo}users")
        (await client.send("nobody yet", {"key": "k", "value": "v", "bot_id": AGENT + 1})).refused(404)
        assert redis.hlen("{avaamo}users") == before


async def test_display_names_are_one_command_for_a_whole_page(alone: Client) -> None:
    for n in range(30):
        await alone.set(f"u{n}", "names", "v")
    with sent_commands(alone.running, "{avaamo") as sent:
        assert len(await alone.rows(key="names", per_page=100)) == 30
    assert sent == ["FCALL", "HMGET"]


async def test_a_malformed_request_sends_redis_nothing(alone: Client) -> None:
    with sent_commands(alone.running, "{avaamo") as sent:
        for method, target, body in (
            ("GET", storages(AGENT, page=0), None),
            ("GET", storages("x"), None),
            ("POST", set_storage("u"), b"{}"),
            ("POST", f"/dashboard/agents/{AGENT}/clear_data.json", b"{}"),
            ("PUT", global_storage("g"), b"{}"),
        ):
            assert (await alone.ask(method, target, body)).status in (404, 422)
    assert sent == []
