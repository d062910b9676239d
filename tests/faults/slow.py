"""Measures the memory of a worker while many slow or hostile clients are connected.

python -m tests.faults.slow          prints the figures of docs/TRACK_RECORD.md
"""

import argparse
import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from tests.memory import MEBIBYTE, resident
from tests.raw_http import DOCUMENTS, connected, request, warm
from tests.running import Running

LARGE = b'{"pad":"%b"}' % (b"x" * (9 * MEBIBYTE))
K = f"{DOCUMENTS}/slow/k"
SMALL = f"{DOCUMENTS}/slow/small"
PIPELINE = request("GET", SMALL) * 10_000  # 1 MB

Attack = Callable[[socket.socket, int], Awaitable[None]]


async def _send(client: socket.socket, data: bytes, within: float = 5.0) -> None:
    """Send as much as the other side receives within some seconds."""
    try:
        async with asyncio.timeout(within):
            await asyncio.get_running_loop().sock_sendall(client, data)
    except (TimeoutError, ConnectionError):
        pass


async def heads(client: socket.socket, number: int) -> None:
    """Send a head that never ends (slowloris)."""
    await _send(client, request("GET", K)[:-2] + b"X-Slow: " + b"a" * 4000)


async def bodies(client: socket.socket, number: int) -> None:
    """Send a body of 9 MiB without its last byte."""
    head = request("PUT", f"{K}{number}", None, f"Content-Length: {len(LARGE)}")
    await _send(client, head + LARGE[:-1])


async def strangers(client: socket.socket, number: int) -> None:
    """Send a body of 9 MiB without its last byte, with an unknown credential."""
    head = request("PUT", f"{K}{number}", None, f"Content-Length: {len(LARGE)}").replace(b"ak-1", b"ak-?")
    await _send(client, head + LARGE[:-1])


async def readers(client: socket.socket, number: int) -> None:
    """Request large documents and read no answer."""
    await _send(client, request("GET", K) * 3)


async def pipelines(client: socket.socket, number: int) -> None:
    """Send ten thousand requests at once, and read no answer."""
    await _send(client, PIPELINE)


async def eager(client: socket.socket, number: int) -> None:
    """Send ten thousand requests at once, and read the answers for ten seconds."""
    reading = asyncio.create_task(_receive(client))
    await _send(client, PIPELINE)
    await asyncio.wait([reading], timeout=10)
    reading.cancel()
    await asyncio.wait([reading])


async def _receive(client: socket.socket) -> None:
    with suppress(OSError):
        while await asyncio.get_running_loop().sock_recv(client, 1 << 16):
            pass


ATTACKS: dict[str, Attack] = {each.__name__: each for each in (heads, bodies, strangers, readers, pipelines, eager)}


@dataclass(slots=True)
class Seen:
    """The figures of one attack: the worker's memory in bytes before it, and the most during it.

    `served` requests of an ordinary client were answered meanwhile; the longest of them took `longest` seconds.
    """

    before: int
    most: int
    served: int = 0
    longest: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.before / MEBIBYTE:.0f} -> {self.most / MEBIBYTE:.0f} MiB; "
            f"meanwhile {self.served} others served, the slowest after {self.longest:.2f} s"
        )


async def _behave(running: Running, seen: Seen) -> None:
    """Send one request after the other on one connection, as an ordinary client, until the task is cancelled."""
    async with connected(running) as wire:
        while True:
            begun = monotonic()
            if (await wire.ask("GET", SMALL)).status == 200:
                seen.served += 1
                seen.longest = max(seen.longest, monotonic() - begun)
            await asyncio.sleep(0.02)


async def _watch(worker: int, seen: Seen, attacking: asyncio.Future[list[None]], after: float) -> None:
    """Record the most memory of the worker until the attack has ended, and for `after` seconds more."""
    while not attacking.done():
        await asyncio.wait([attacking], timeout=0.1)
        seen.most = max(seen.most, resident(worker))
    await attacking
    for _ in range(round(after / 0.1)):
        await asyncio.sleep(0.1)
        seen.most = max(seen.most, resident(worker))


async def under(running: Running, attack: Attack, connections: int, after: float = 0.5) -> Seen:
    """Attack the worker on many connections at once, and return its figures.

    The connections stay open for `after` seconds after the attack. Then the worker must answer again.
    """
    async with connected(running) as wire:
        await warm(wire, SMALL)
        assert (await wire.ask("PUT", K, LARGE)).status == 200
    [worker] = running.worker_pids()
    seen = Seen(resident(worker), resident(worker))
    clients: list[socket.socket] = []

    async def one(number: int) -> None:
        client = await _client(running)
        clients.append(client)
        await attack(client, number)

    behaving = asyncio.create_task(_behave(running, seen))
    try:
        await _watch(worker, seen, asyncio.gather(*(one(number) for number in range(connections))), after)
        async with connected(running) as wire:  # an ordinary client is served
            while (await wire.ask("GET", SMALL)).status != 200:
                pass  # Redis is still busy with the requests of the attack
        seen.most = max(seen.most, resident(worker))
        return seen
    finally:
        behaving.cancel()
        await asyncio.wait([behaving])
        for client in clients:
            client.close()


async def _client(running: Running) -> socket.socket:
    """Open a connection whose socket receives only little before it is read."""
    host, port = running.url.removeprefix("http://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, (host, int(port)))
    return client


async def main(connections: int, attacks: list[str]) -> None:
    for name in attacks:
        with Running() as running:
            await asyncio.to_thread(running.wait_ready)
            seen = await under(running, ATTACKS[name], connections, after=5)
        print(f"{name}: {connections} connections, {seen}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults.slow", description=__doc__)
    parser.add_argument("--connections", type=int, default=1000, help="[1000]")
    parser.add_argument("--attack", choices=list(ATTACKS), action="append", help="[each]")
    given = parser.parse_args()
    asyncio.run(main(given.connections, given.attack or list(ATTACKS)))
