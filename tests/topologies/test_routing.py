"""Tests to which node a command is sent, and that redirections to another node are followed."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from service.redis.client import Redis
from service.redis.cluster import Cluster
from service.redis.errors import NotSent
from service.redis.lane import EAGER_COMMANDS, Lane
from service.redis.pending import Command
from service.redis.topology import slot
from service.redis.wire import pack
from tests.redis_cluster import ClusterNode, RedisCluster
from tests.running import soon
from tests.topologies.conftest import Open

KEYS = [f"k{number}" for number in range(300)]


def lane_to(redis: Redis, node: ClusterNode) -> Lane:
    return next(lane for lane in redis.lanes if lane.name == f"redis://127.0.0.1:{node.port}/0")


def looks(cluster: RedisCluster) -> int:
    """Return how many times the nodes were asked for their slots since their counters were reset."""
    found = 0
    for node in cluster.primaries:
        stats = node.command("INFO", "commandstats")
        told = stats.get("cmdstat_cluster|slots") or stats.get("cmdstat_cluster") or {"calls": 0}
        found += int(told["calls"])
    return found


class Taken:
    """An outcome that is not a future, as on the fast path."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def done(self) -> bool:
        return bool(self.told)

    def set_result(self, result: Any, /) -> None:
        self.told.append(result)

    def set_exception(self, exception: Exception, /) -> None:
        self.told.append(exception)


@pytest.fixture
def key(cluster: RedisCluster) -> str:
    """Return a key whose slot belongs to the first primary."""
    mine = set(cluster.slots(cluster.primaries[0]))
    return next(key for key in KEYS if slot(key) in mine)


@contextmanager
def moving(cluster: RedisCluster, key: str) -> Iterator[tuple[int, ClusterNode, ClusterNode]]:
    """Move the slot of a key from the first primary to the second one during the block, and back afterwards."""
    source, target, *_ = cluster.primaries
    number = slot(key)
    cluster.begin_move(source, target, number)
    try:
        yield number, source, target
    finally:
        if number in cluster.slots(source):
            cluster.end_move(source, target, number)
        cluster.agree()
        cluster.begin_move(target, source, number)
        cluster.end_move(target, source, number)
        cluster.agree()


@pytest.mark.parametrize("key", ["", "k", "{a}b", "{a}", "a{}b{c}", "{}{c}", "a{b", "a}b{c}d", "{{a}}", "ключ{é}"])
def test_the_slot_of_a_key_is_that_of_redis(cluster: RedisCluster, key: str) -> None:
    assert slot(key) == slot(key.encode()) == cluster.nodes[0].command("CLUSTER", "KEYSLOT", key)


async def test_commands_go_to_the_node_of_their_key(cluster: RedisCluster, client_of: Open) -> None:
    redis = await client_of(cluster.url)
    assert len(redis.lanes) == 3
    await asyncio.gather(*(redis.execute("SET", key, key, key=key, write=True) for key in KEYS))
    assert sum(node.command("DBSIZE") for node in cluster.primaries) == len(KEYS)
    assert redis.total("retries") == 0
    assert await redis.execute("GET", KEYS[7], key=KEYS[7].encode(), write=False) == KEYS[7].encode()


async def test_commands_of_many_slots_are_one_write_for_each_node(cluster: RedisCluster, client_of: Open) -> None:
    redis = await client_of(cluster.url)
    keys = KEYS[:30]  # for each node fewer than a lane writes before the end of the tick
    before = [(lane.commands, lane.round_trips) for lane in redis.lanes]
    await asyncio.gather(*(redis.execute("GET", key, key=key, write=False) for key in keys))
    spent = [(lane.commands - b[0], lane.round_trips - b[1]) for lane, b in zip(redis.lanes, before, strict=True)]
    assert sum(commands for commands, _ in spent) == len(keys)
    assert max(commands for commands, _ in spent) < EAGER_COMMANDS
    assert [writes for _, writes in spent] == [1, 1, 1]


async def test_after_a_moved_the_new_node_is_used_at_once_and_from_then_on(
    cluster: RedisCluster, client_of: Open, key: str
) -> None:
    redis = await client_of(cluster.url)
    await redis.execute("SET", key, "v", key=key, write=True)
    with moving(cluster, key) as (number, source, target):
        cluster.end_move(source, target, number)
        taken = Taken()
        redis.send(Command(taken, pack(("GET", key)), False, key=key))
        assert await redis.execute("INCR", f"{{{key}}}n", key=f"{{{key}}}n", write=True) == 1
        assert taken.told == [b"v"]
        moved = redis.total("retries")
        assert moved == 2
        await redis.execute("GET", key, key=key, write=False)
        assert redis.total("retries") == moved


async def test_many_moved_replies_cause_one_request_for_the_map(
    cluster: RedisCluster, client_of: Open, key: str
) -> None:
    redis = await client_of(cluster.url)
    with moving(cluster, key) as (number, source, target):
        cluster.end_move(source, target, number)
        for node in cluster.primaries:
            node.command("CONFIG", "RESETSTAT")
        calls = looks(cluster)
        await asyncio.gather(*(redis.execute("GET", key, key=key, write=False) for _ in range(500)))
        await soon(lambda: _later(lambda: looks(cluster) > calls))
        await asyncio.sleep(0.5)
        # Each look-up asks three nodes. There are two of them if commands were redirected during the first one.
        assert looks(cluster) - calls <= 3 * 2 * 2


async def _later(check: Any) -> bool:
    return bool(await asyncio.to_thread(check))


async def test_in_a_moving_slot_each_key_is_asked_on_its_node(cluster: RedisCluster, client_of: Open, key: str) -> None:
    """Old keys are at the source and new ones at the target. Each of 200 commands is answered once."""
    redis = await client_of(cluster.url)
    await redis.execute("SET", key, "old", key=key, write=True)
    with moving(cluster, key) as (number, source, target):
        new = [f"{{{key}}}{n}" for n in range(100)]
        asked = [redis.execute("INCR", name, key=name, write=True) for name in new]
        asked += [redis.execute("GET", key, key=key, write=False) for _ in new]
        assert await asyncio.gather(*asked) == [1] * 100 + [b"old"] * 100
        assert target.command("CLUSTER", "COUNTKEYSINSLOT", number) == 100
        assert source.command("CLUSTER", "COUNTKEYSINSLOT", number) == 1
        # ASKING had an effect only on the commands that it was sent with.
        lane = lane_to(redis, target)
        assert (await asyncio.gather(lane.execute("PING", write=False)))[0] == b"PONG"
        names = [await redis.execute("GET", name, key=name, write=False) for name in new]
        assert names == [b"1"] * 100


async def test_a_redirection_to_an_unconnected_node_is_asked_again(
    cluster: RedisCluster, client_of: Open, key: str
) -> None:
    redis = await client_of(cluster.url)
    with moving(cluster, key) as (_, _, target):
        lane_to(redis, target).abort("for the test")
        assert await redis.execute("INCR", key, key=key, write=True) == 1
        assert target.command("CLUSTER", "COUNTKEYSINSLOT", slot(key)) == 1


async def test_a_command_whose_keys_are_on_two_nodes_waits(cluster: RedisCluster, client_of: Open, key: str) -> None:
    redis = await client_of(cluster.url)
    names = [f"{{{key}}}{n}" for n in range(3)]
    await asyncio.gather(*(redis.execute("SET", name, name, key=name, write=True) for name in names))
    with moving(cluster, key) as (number, source, target):
        cluster.move_keys(source, target, number, count=1)
        reading = redis.execute("MGET", *names, key=key, write=False)
        await asyncio.sleep(0.05)
        assert not reading.done()
        await asyncio.to_thread(cluster.end_move, source, target, number)
        assert await reading == [name.encode() for name in names]


async def test_a_write_during_moves_of_its_slot_runs_once(cluster: RedisCluster, client_of: Open, key: str) -> None:
    redis = await client_of(cluster.url)
    source, target, *_ = cluster.primaries
    counts: list[int] = []

    async def count(name: str) -> None:
        while not done.is_set():
            counts.append(await redis.execute("INCR", name, key=name, write=True))

    def move() -> None:
        for there, back in ((source, target), (target, source)) * 5:
            cluster.begin_move(there, back, slot(key))
            cluster.end_move(there, back, slot(key))
            cluster.agree()

    done = asyncio.Event()
    counting = [asyncio.create_task(count(f"{{{key}}}{n}")) for n in range(8)]
    await asyncio.to_thread(move)
    done.set()
    await asyncio.gather(*counting)
    names = [f"{{{key}}}{n}" for n in range(8)]
    stored = [int(await redis.execute("GET", name, key=name, write=False)) for name in names]
    assert sum(stored) == len(counts)


async def test_a_node_without_slots_is_disconnected_and_its_counts_stay(cluster: RedisCluster, client_of: Open) -> None:
    redis = await client_of(cluster.url)
    await asyncio.gather(*(redis.execute("SET", key, key, key=key, write=True) for key in KEYS))
    commands = redis.total("commands")
    primary = cluster.primaries[0]
    (replica,) = cluster.replicas(primary)
    before = redis.lanes
    counting = asyncio.create_task(_count_until(redis, stop := asyncio.Event()))
    replica.command("CLUSTER", "FAILOVER")
    await soon(lambda: _later(lambda: len(redis.lanes) == 3 and set(redis.lanes) != set(before)))
    stop.set()
    assert await counting > 0
    assert redis.total("commands") >= commands + 1
    await asyncio.to_thread(cluster.settle)


async def _count_until(redis: Redis, stop: asyncio.Event) -> int:
    """Write to all slots until `stop` is set. No write may fail while a replica takes over from a running primary."""
    rounds = 0
    while not stop.is_set():
        await asyncio.gather(*(redis.execute("INCR", f"n{key}", key=f"n{key}", write=True) for key in KEYS))
        rounds += 1
    return rounds


async def test_a_single_server_is_no_cluster_and_an_unreachable_cluster_fails(
    client_of: Open, cluster: RedisCluster
) -> None:
    plain = cluster.url.replace("redis+cluster", "redis").split(",")[0]
    assert not (await client_of(plain)).cluster
    redis = Redis.open(f"redis+cluster://127.0.0.1:{cluster.nodes[0].port + 10_000}")
    with pytest.raises(NotSent, match="cannot connect to redis\\+cluster://"):
        await redis.connect(0.3)
    await redis.close()


async def test_commands_before_the_map_is_known_are_sent_when_it_is(cluster: RedisCluster, client_of: Open) -> None:
    redis = Redis.open(cluster.url)
    assert isinstance(redis._nodes, Cluster)
    early = asyncio.gather(*(redis.execute("INCR", key, key=key, write=True) for key in KEYS))
    await redis.connect()
    assert await early == [1] * len(KEYS)
    await redis.close()
