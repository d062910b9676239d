"""Tests the reservation of ports for the servers of tests: no port is given to two of them."""

import random
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.ports import BUS, LEAST, Reserved, first_port
from tests.redis_cluster import RedisCluster
from tests.redis_sentinel import SentinelSet


@pytest.fixture
def candidates(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Three free ports. Every reservation tries them in this order."""
    with ExitStack() as stack:
        found = [stack.enter_context(Reserved(bus=True)).port for _ in range(3)]

    def reserve(self: Reserved, *, bus: bool = False) -> None:
        left = found.copy()
        monkeypatch.setattr(random, "randrange", lambda *_: left.pop(0))
        made(self, bus=bus)

    made = Reserved.__init__
    monkeypatch.setattr(Reserved, "__init__", reserve)
    return found


def test_no_port_is_reserved_twice(candidates: list[int]) -> None:
    with Reserved() as one, Reserved() as other, Reserved(bus=True) as third:
        assert [one.port, other.port, third.port] == candidates
    with Reserved() as again:
        assert again.port == candidates[0]


def test_a_port_on_which_another_program_listens_is_not_reserved(candidates: list[int]) -> None:
    first, second, third = candidates
    with (
        socket.create_server(("127.0.0.1", first)),
        socket.create_server(("127.0.0.1", second + BUS)),
        Reserved(bus=True) as reserved,
    ):
        assert reserved.port == third


def test_a_server_can_listen_on_a_reserved_port_again_and_again() -> None:
    with Reserved() as reserved:
        for _ in range(3):
            with (
                socket.create_server(("127.0.0.1", reserved.port)) as server,
                socket.create_connection(server.getsockname()),
            ):
                server.accept()[0].close()  # this side closes first, so the connection stays in TIME_WAIT


def test_reserved_ports_are_below_those_that_the_system_gives_to_clients() -> None:
    assert first_port(32_768) + 2 * BUS == 32_768
    assert first_port(1024) == LEAST


@pytest.mark.parametrize("kind", [RedisCluster, SentinelSet])
def test_servers_of_which_one_does_not_start_leave_nothing(kind: type[RedisCluster | SentinelSet]) -> None:
    made = kind(Path("/bin/false"))
    servers = made.nodes if isinstance(made, RedisCluster) else [*made.servers, *made.sentinels]
    with pytest.raises(AssertionError), made:
        pass
    for server in servers:
        assert not server.directory.exists()
        with socket.socket() as free:
            free.bind(("127.0.0.1", server.port))
