"""Tests listening sockets: workers share them, and a second service cannot."""

import socket
from collections.abc import Iterator

import pytest

from service.process.ports import PortTaken, listeners, url


@pytest.fixture
def opened() -> Iterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    yield sockets
    for each in sockets:
        each.close()


def test_all_sockets_share_one_port(opened: list[socket.socket]) -> None:
    opened += listeners("127.0.0.1", 0, 3)
    assert len({each.getsockname() for each in opened}) == 1
    assert len({each.fileno() for each in opened}) == 3


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_a_port_in_use_is_refused_with_a_message(opened: list[socket.socket], host: str) -> None:
    opened += listeners("127.0.0.1", 0, 1)
    port = opened[0].getsockname()[1]
    with pytest.raises(PortTaken, match=f"^cannot listen on {host} port {port}: Address already in use$"):
        opened += listeners(host, port, 1)


def test_an_unknown_host_is_refused_with_a_message() -> None:
    with pytest.raises(PortTaken, match=r"^cannot listen on nowhere\.invalid port 0: "):
        listeners("nowhere.invalid", 0, 1)


def test_a_port_can_be_taken_again_right_after_its_connections_closed(opened: list[socket.socket]) -> None:
    (first,) = listeners("127.0.0.1", 0, 1)
    address = first.getsockname()
    with socket.create_connection(address) as client:
        first.setblocking(True)
        served, _ = first.accept()
        served.close()  # the side that closes first keeps the port in TIME_WAIT
        assert client.recv(1) == b""
    first.close()
    opened += listeners("127.0.0.1", address[1], 1)


def test_an_ipv6_address_has_brackets_in_a_url(opened: list[socket.socket]) -> None:
    opened += listeners("::1", 0, 1)
    assert url(opened[0]) == f"http://[::1]:{opened[0].getsockname()[1]}"
