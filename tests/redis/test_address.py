"""Tests Redis URLs: which are accepted, and that no message shows their passwords."""

import pytest
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection

from service.redis.address import connection, parse


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost", "redis://localhost:6379/0"),
        ("redis://h:7000/5", "redis://h:7000/5"),
        ("redis://:s%20ecret@h/2", "redis://:***@h:6379/2"),
        ("rediss://me:secret@h:1", "rediss://me:***@h:1/0"),
        ("redis://me@h", "redis://me@h:6379/0"),
        ("redis://h?password=secret", "redis://:***@h:6379/0"),
        ("redis://[::1]:7000", "redis://[::1]:7000/0"),
        ("redis+cluster://h:1,[::1]:2,i", "redis+cluster://h:1,[::1]:2,i:6379"),
        ("rediss+cluster://me:secret,x@h?ssl_cert_reqs=none", "rediss+cluster://me:***@h:6379"),
        ("redis+sentinel://h:1,i/my%20main", "redis+sentinel://h:1,i:26379/my%20main/0"),
        ("rediss+sentinel://:secret@h/s/3?sentinel_password=ecret", "rediss+sentinel://:***@h:26379/s/3"),
        ("unix:///run/redis%20x.sock", "unix:///run/redis%20x.sock?db=0"),
        ("unix://me:secret@/run/redis.sock?db=4", "unix://me:***@/run/redis.sock?db=4"),
    ],
)
def test_an_address_is_shown_completely_except_for_its_password(url: str, shown: str) -> None:
    address = parse(url)
    assert str(address) == shown
    assert "ecret" not in repr(address)
    assert "ecret" not in f"{address} {address!r}"


def test_a_connection_has_the_kind_and_address_of_the_url() -> None:
    plain = connection(parse("redis://me:a%2Fb@h:7000/5"))
    assert type(plain) is Connection
    assert (plain.host, plain.port, plain.db, plain.username, plain.password) == ("h", 7000, 5, "me", "a/b")
    assert type(connection(parse("rediss://h?ssl_cert_reqs=none"))) is SSLConnection
    local = connection(parse("unix:///run/redis.sock"))
    assert type(local) is UnixDomainSocketConnection
    assert local.path == "/run/redis.sock"


def test_nodes_of_a_cluster_are_connected_with_the_options_of_the_url() -> None:
    cluster = parse("rediss+cluster://me:a%2Cb@h:1,i:2?ssl_check_hostname=false")
    assert cluster.seeds == (("h", 1), ("i", 2))
    node = cluster.at("::1", 7000)
    made = connection(node)
    assert str(node) == "rediss://me:***@[::1]:7000/0"
    assert type(made) is SSLConnection
    assert (made.host, made.port, made.username, made.password) == ("::1", 7000, "me", "a,b")


def test_sentinels_have_credentials_of_their_own() -> None:
    url = "rediss+sentinel://me:a@h:1,i/main/4?sentinel_username=you&sentinel_password=b&ssl_ca_certs=x"
    address = parse(url)
    assert (address.service, address.db, address.seeds) == ("main", 4, (("h", 1), ("i", 26379)))
    assert (address.settings["username"], address.settings["password"]) == ("me", "a")
    assert address.sentinel == {"username": "you", "password": "b", "ssl_ca_certs": "x", "ssl": True}
    assert parse("redis+sentinel://h/main").sentinel == {"ssl": False}


def test_a_connection_never_repeats_commands() -> None:
    made = connection(parse("redis://h"))
    assert made.retry.get_retries() == 0
    assert made.health_check_interval == 0
    assert made.protocol == 2


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("redis+sentinel://h", "must name the service: redis\\+sentinel://host:26379"),
        ("redis+sentinel://h/s/five", "must be the number of a database"),
        ("redis+sentinel://h,/s", "must name a host"),
        ("redis+cluster://h/1", "a cluster has only database 0"),
        ("redis+cluster://h?db=1", "a cluster has only database 0"),
        ("redis+cluster://h,,h", "must name a host"),
        ("redis+cluster://h?ssl_ca_certs=x", "unknown option for redis: ssl_ca_certs"),
        ("redis+cluster://:hun/ter2@h,h", "percent-encoded"),
        ("redis+cluster://[h", "malformed"),
        ("redis+ring://h", "must be one of .*, not redis\\+ring"),
        ("http://h", "must be one of .*, not http"),
        ("hunter2", "scheme of the Redis URL must be one of"),
        ("redis://", "must name a host"),
        ("unix://", "must name a socket"),
        ("redis://h/five", "must be the number of a database"),
        ("redis://h?db=five", "malformed"),
        ("redis://:hun/ter2@h", "percent-encoded"),
        ("redis://h?socket_timeout=5", "unknown option for redis: socket_timeout"),
        ("redis://h?ssl_ca_certs=x", "unknown option for redis: ssl_ca_certs"),
        ("unix:///s?host=h", "unknown option for unix: host"),
    ],
)
def test_an_unusable_url_is_refused_with_a_message(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refusal:
        parse(url)
    assert "hun" not in str(refusal.value)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None
