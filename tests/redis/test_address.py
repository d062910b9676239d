"""What a Redis URL may say, and that its password stays out of sight."""

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
        ("unix:///run/redis%20x.sock", "unix:///run/redis%20x.sock?db=0"),
        ("unix://me:secret@/run/redis.sock?db=4", "unix://me:***@/run/redis.sock?db=4"),
    ],
)
def test_an_address_is_shown_whole_but_for_its_password(url: str, shown: str) -> None:
    address = parse(url)
    assert str(address) == shown
    assert "ecret" not in repr(address)
    assert "ecret" not in f"{address} {address!r}"


def test_connections_are_of_the_kind_and_to_the_place_that_the_url_names() -> None:
    plain = connection(parse("redis://me:a%2Fb@h:7000/5"))
    assert type(plain) is Connection
    assert (plain.host, plain.port, plain.db, plain.username, plain.password) == ("h", 7000, 5, "me", "a/b")
    assert type(connection(parse("rediss://h?ssl_cert_reqs=none"))) is SSLConnection
    local = connection(parse("unix:///run/redis.sock"))
    assert type(local) is UnixDomainSocketConnection
    assert local.path == "/run/redis.sock"


def test_a_connection_repeats_nothing_by_itself() -> None:
    made = connection(parse("redis://h"))
    assert made.retry.get_retries() == 0
    assert made.health_check_interval == 0
    assert made.protocol == 2


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("redis+sentinel://h", "redis\\+sentinel, is not one of redis, rediss, unix"),
        ("redis+cluster://h", "redis\\+cluster, is not one of redis, rediss, unix"),
        ("http://h", "http, is not one of"),
        ("hunter2", "scheme of the Redis URL is not one of"),
        ("redis://", "names no host"),
        ("unix://", "names no socket"),
        ("redis://h/five", "not the number of a database"),
        ("redis://h?db=five", "malformed"),
        ("redis://:hun/ter2@h", "percent-encoded"),
        ("redis://h?socket_timeout=5", "not known for redis: socket_timeout"),
        ("redis://h?ssl_ca_certs=x", "not known for redis: ssl_ca_certs"),
        ("unix:///s?host=h", "not known for unix: host"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_in_words(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refusal:
        parse(url)
    assert "hun" not in str(refusal.value)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None
