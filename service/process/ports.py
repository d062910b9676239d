"""Listening sockets: one per worker, all on the same port. The parent opens them before it starts anything else.

Invariant: a socket outlives the worker that serves it. The parent keeps the descriptor, so connections that arrive
while a worker is being replaced wait in the accept queue, and the new worker serves them.

With SO_REUSEPORT the kernel spreads connections over the workers. With one shared socket, the worker that wakes up
first would take most of them.
"""

import socket
from typing import Any

BACKLOG = 1024  # connections that may wait per worker; the kernel caps it at net.core.somaxconn


class PortTaken(OSError):
    """The service cannot listen on a port. The text names the port and the reason."""


def listeners(host: str, port: int, count: int) -> list[socket.socket]:
    """Open `count` listening sockets on one port. Port 0 lets the kernel choose a free one. Raises PortTaken."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if port:
            _refuse_shared(family, address)
        opened = [_listener(family, address)]
        chosen = (address[0], opened[0].getsockname()[1], *address[2:])
        opened += [_listener(family, chosen) for _ in range(count - 1)]
    except OSError as error:
        raise PortTaken(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    return opened


def _refuse_shared(family: int, address: tuple[Any, ...]) -> None:
    # With SO_REUSEPORT a second service could share the port without an error and take half of the connections.
    # A bind without it fails while another process listens. SO_REUSEADDR ignores the remains of closed connections.
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _listener(family: int, address: tuple[Any, ...]) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind(address)
        opened.listen(BACKLOG)
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened


def url(opened: socket.socket) -> str:
    """Return the URL at which clients find this socket."""
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
