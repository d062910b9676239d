"""Tests clusters and sentinels with TLS, passwords and ACL users."""

from pathlib import Path

import pytest

from service.redis.client import Redis
from service.redis.errors import NotSent
from tests.redis_cluster import RedisCluster
from tests.redis_sentinel import SentinelSet
from tests.servers import Certificates, binaries, speaks_tls
from tests.topologies.conftest import Open

PASSWORD = "p:a/s,s@ w%rd"
TLS = [path for _, path in binaries() if speaks_tls(path)][:1]  # not every server is built with TLS


@pytest.mark.parametrize("path", TLS, ids=lambda path: path.name)
async def test_a_cluster_is_used_over_tls_by_a_user_with_few_permissions(
    path: Path, certificates: Certificates, client_of: Open
) -> None:
    with RedisCluster(path, tls=certificates, password=PASSWORD) as cluster:
        rights = ("~*", "+@read", "+@write", "+@scripting", "+cluster|info", "+cluster|slots", "+asking", "+readonly")
        for node in cluster.nodes:
            node.command("ACL", "SETUSER", "modest", "on", ">also,this", "+ping", *rights)
        for url in (cluster.url, cluster.url.replace("://:p%3Aa%2Fs%2Cs%40%20w%25rd@", "://modest:also%2Cthis@")):
            redis = await client_of(url)
            assert len(redis.lanes) == 3
            for n in range(20):
                assert await redis.execute("SET", f"k{n}", n, key=f"k{n}", write=True) == b"OK"
        first, second, *_ = cluster.primaries
        cluster.reshard(first, second, 20)
        await refused(cluster.url.replace("w%25rd", "other"), "invalid username-password")
        await refused(cluster.url.partition("?")[0], "certificate verify failed")


@pytest.mark.parametrize("path", TLS, ids=lambda path: path.name)
async def test_sentinels_are_used_over_tls_with_their_own_password(
    path: Path, certificates: Certificates, client_of: Open
) -> None:
    with SentinelSet(path, tls=certificates, password=PASSWORD, sentinel_password="s3n/t") as watched:
        redis = await client_of(watched.url)
        assert await redis.execute("SET", "k", "v", key="k", write=True) == b"OK"
        await refused(watched.url.replace("s3n%2Ft", "other"), "AuthenticationError")
        await refused(watched.url.replace("w%25rd", "other"), "invalid username-password")
        await refused(watched.url.partition("&")[0], "ConnectionError")


async def refused(url: str, words: str) -> None:
    """Check that connecting fails for this reason, and that the message contains no secret."""
    for seconds in (2.0, 30.0):  # on a busy machine, no attempt may come to its end in two
        redis = Redis.open(url)
        with pytest.raises(NotSent) as told:
            await redis.connect(seconds)
        await redis.close()
        message = str(told.value)
        if "not connected yet" not in message:
            break
    assert words in message
    assert "w%25rd" not in message
    assert "other" not in message
