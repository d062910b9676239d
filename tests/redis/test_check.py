"""Tests the reasons for which a Redis server is refused."""

from functools import partial
from pathlib import Path

import pytest

from service.redis.check import Server, check, findings, inspect
from tests.redis.conftest import Open
from tests.servers import RedisProcess, binaries

SOUND = {
    "redis_version": "7.0.15",
    "role": "master",
    "cluster_enabled": "0",
    "maxmemory": "0",
    "maxmemory_policy": "noeviction",
    "aof_enabled": "1",
}


def verdict(*, version: tuple[int, ...] = (7, 0, 15), save: str | None = "", **info: str) -> list[tuple[str, str]]:
    return [(f.level, f.text) for f in findings(Server(version, False, {**SOUND, **info}, save))]


def test_a_well_configured_server_has_no_findings() -> None:
    assert verdict() == []


@pytest.mark.parametrize(
    ("server", "level", "text"),
    [
        ({"version": (6, 2, 14)}, "refuse", "Redis 6.2.14; Redis 7.0 or newer, or Valkey, is needed"),
        ({"role": "slave"}, "refuse", "replica"),
        ({"cluster_enabled": "1"}, "refuse", "Redis Cluster"),
        ({"maxmemory": "1000", "maxmemory_policy": "allkeys-lru"}, "refuse", "allkeys-lru: Redis would delete data"),
        ({"maxmemory_policy": "volatile-ttl"}, "warn", "volatile-ttl"),
        ({"aof_enabled": "0"}, "warn", "neither"),
        ({"aof_enabled": "0", "save": "3600 1"}, "warn", "last snapshot"),
        ({"aof_enabled": "0", "save": None}, "warn", "forbids"),
    ],
)
def test_each_finding_has_its_level_and_message(server: dict[str, str], level: str, text: str) -> None:
    [(said, words)] = verdict(**server)  # type: ignore[arg-type]
    assert said == level
    assert text in words


def test_an_unknown_policy_is_a_warning() -> None:
    info = {name: value for name, value in SOUND.items() if name != "maxmemory_policy"}
    [finding] = findings(Server((7, 0, 0), False, info, ""))
    assert (finding.level, "maxmemory-policy" in finding.text) == ("warn", True)


async def test_a_real_server_is_checked_for_version_and_settings(binary: Path, lane_to: Open) -> None:
    with RedisProcess(binary, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru") as process:
        ask = partial((await lane_to(process.url)).execute, write=False)
        server = await inspect(ask)
        (name,) = (name for name, path in binaries() if path == binary)
        assert server.valkey == name.startswith("valkey")
        assert server.valkey or name == "redis-" + ".".join(map(str, server.version))
        assert [finding.level for finding in await check(ask)] == ["refuse", "warn"]


async def test_a_real_replica_and_a_real_cluster_node_are_refused(binary: Path, lane_to: Open) -> None:
    with RedisProcess(binary, "--appendonly", "yes") as process:
        ask = partial((await lane_to(process.url)).execute, write=False)
        assert await check(ask) == []
        process.command("REPLICAOF", "127.0.0.1", 1)
        [finding] = await check(ask)
        assert (finding.level, "replica" in finding.text) == ("refuse", True)
    with RedisProcess(binary, "--appendonly", "yes", "--cluster-enabled", "yes", tcp=True) as process:
        [finding] = await check(partial((await lane_to(process.url)).execute, write=False))
        assert (finding.level, "Cluster" in finding.text) == ("refuse", True)


async def test_a_server_that_forbids_the_check_is_used_with_a_warning(own: RedisProcess, lane_to: Open) -> None:
    own.command("CONFIG", "SET", "appendonly", "no")
    own.command("ACL", "SETUSER", "modest", "on", ">x", "~*", "+@all", "-config")
    own.command("ACL", "SETUSER", "meek", "on", ">x", "~*", "+@all", "-config", "-info")
    for user, words in (("modest", "forbids CONFIG GET"), ("meek", "forbids INFO")):
        lane = await lane_to(own.url.replace("unix://", f"unix://{user}:x@"))
        [finding] = await check(partial(lane.execute, write=False))
        assert finding.level == "warn"
        assert words in finding.text


def test_valkey_is_recognised_by_its_own_fields() -> None:
    async def ask(*args: str) -> bytes | list[bytes]:
        return b"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n" if args == ("INFO",) else []

    coroutine = inspect(ask)
    with pytest.raises(StopIteration) as result:
        coroutine.send(None)
    server = result.value.value
    assert (server.version, server.valkey) == ((7, 2, 4), True)
