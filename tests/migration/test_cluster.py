"""Tests migrations into a service on a Redis Cluster, whose slots are on several nodes."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from aiohttp import ClientSession

from service.migration.command import Migration, migrate_ainoflow, migrate_avaamo
from tests.dialects.ainoflow.client import open_project
from tests.migration import test_ainoflow, test_auravant, test_avaamo
from tests.redis_cluster import RedisCluster
from tests.running import Running
from tests.servers import binaries


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with RedisCluster(binaries()[0][1]) as running:
        yield running


@pytest.fixture(scope="module")
def clustered(cluster: RedisCluster) -> Iterator[Running]:
    with Running(redis_url=cluster.url) as running:
        yield running.wait_ready()


async def test_documents_are_migrated_into_and_out_of_a_cluster(
    cluster: RedisCluster, clustered: Running, other: Running, http: ClientSession
) -> None:
    there, here, back = [await open_project(each, http) for each in (other, clustered, other)]
    await test_ainoflow.filled(there)
    for key, incoming in ((there.key, True), (back.key, False)):
        wanted, project = Migration(other.url, key), here.project
        assert await migrate_ainoflow(cluster.url, wanted, incoming=incoming, project=project, categories=[]) == 0
    assert await test_ainoflow.everything(here) == await test_ainoflow.everything(there)
    sent, got = await test_ainoflow.everything(here), await test_ainoflow.everything(back)
    assert {name: body for name, (body, _) in got.items()} == {name: body for name, (body, _) in sent.items()}


async def test_variables_are_migrated_into_a_cluster(
    cluster: RedisCluster, clustered: Running, other: Running, http: ClientSession, agent: int
) -> None:
    there, here = [await test_avaamo.opened(each, http, agent) for each in (other, clustered)]
    users = await test_avaamo.filled(there, http)
    assert await migrate_avaamo(cluster.url, Migration(other.url, there.token), str(agent), users) == 0
    ours, theirs = await test_avaamo.rows(here), await test_avaamo.rows(there)
    for row in (*ours, *theirs):
        del row["id"]
    assert ours == theirs


@pytest.mark.parametrize("scope", ["users", "fields"])
async def test_values_and_files_are_migrated_into_a_cluster(
    cluster: RedisCluster, clustered: Running, other: Running, http: ClientSession, scope: str
) -> None:
    mark = uuid4().hex[:12]
    there, here = [await test_auravant.side(each, http, mark) for each in (other, clustered)]
    await test_auravant.fill(there, [scope])
    here.redis = cluster.url
    assert await test_auravant.brought(here, there, other.url, scope) == 0
    assert await here.values(scope) == await there.values(scope)
    assert await here.contents(scope) == await there.contents(scope)
