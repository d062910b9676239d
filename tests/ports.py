"""Ports for the servers of tests. Several runs of the tests reserve them at the same time on one machine.

The ports are below those that the system gives to clients and to servers that ask for any port. So only a process that
asks for a port by its number can take it. To bind a port is not enough to reserve it, because several processes may
bind it until one of them listens. So a reservation also binds a name of an abstract Unix socket: the system gives a
name to one process at a time, and frees it when the process ends.

Invariant: no two reservations that are open at the same time have a port in common.
"""

import random
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Self

BUS = 10_000  # the port of the bus of a cluster's node is the node's port plus this
LEAST = 10_000  # no port is below


def first_port(lowest: int) -> int:
    """Return the first of BUS ports to reserve; they and those of their buses are below `lowest`, if that is possible.

    `lowest` is the lowest port that the system gives to clients.
    """
    return max(lowest - 2 * BUS, LEAST)


class Reserved:
    """A port that is reserved until `close`, also while no server listens there; with `bus`, that of a bus, too.

    The socket that is bound to the port does not listen. So servers that set SO_REUSEADDR can listen there, and to
    connect to the port fails while none does.
    """

    def __init__(self, *, bus: bool = False) -> None:
        first = first_port(int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]))
        while True:
            self.port = random.randrange(first, first + BUS)
            self._sockets = ExitStack()
            try:
                for port in (self.port, self.port + BUS) if bus else (self.port,):
                    self._reserve(port)
            except OSError:  # another run of the tests has it, or another program
                self._sockets.close()
            else:
                return

    def _reserve(self, port: int) -> None:
        name = self._sockets.enter_context(socket.socket(socket.AF_UNIX))
        name.bind(f"\0polystow-test-port-{port}")
        bound = self._sockets.enter_context(socket.socket())
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))

    def close(self) -> None:
        self._sockets.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
