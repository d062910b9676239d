"""Clients that are slow, or mean to be: what a worker's memory is under so many of them.

python -m tests.faults.slow          prints the figures of docs/TRACK_RECORD.md
"""

import argparse
import asyncio
import socket
from collections.abc import Awaitable, Callable

from tests.faults.memory import MEBIBYTE, resident
from tests.hot.wire import DOCUMENTS, connected, request, warm
from tests.running import Running

LARGE = b'{"pad":"%b"}' % (b"x" * (9 * MEBIBYTE))
K = f"{DOCUMENTS}/slow/k"

Attack = Callable[[socket.socket, int], Awaitable[None]]


async def _send(client: socket.socket, data: bytes, within: float = 5.0) -> None:
    """Send as much as the other side takes."""
    try:
        async with asyncio.timeout(within):
            await asyncio.get_running_loop().sock_sendall(client, data)
    except (TimeoutError, ConnectionError):
        pass


async def heads(client: socket.socket, number: int) -> None:
    """A head that never ends (slowloris)."""
    await _send(client, request("GET", K)[:-2] + b"X-Slow: " + b"a" * 4000)


async def bodies(client: socket.socket, number: int) -> None:
    """A body of 9 MiB, of which the last byte never comes."""
    head = request("PUT", f"{K}{number}", None, f"Content-Length: {len(LARGE)}")
    await _send(client, head + LARGE[:-1])


async def strangers(client: socket.socket, number: int) -> None:
    """The same, with a credential that nobody knows."""
    head = request("PUT", f"{K}{number}", None, f"Content-Length: {len(LARGE)}").replace(b"ak-1", b"ak-?")
    await _send(client, head + LARGE[:-1])


async def readers(client: socket.socket, number: int) -> None:
    """Asks for large documents and reads none."""
    await _send(client, request("GET", K) * 3)


async def pipelines(client: socket.socket, number: int) -> None:
    """Some ten thousand requests at once, and nothing is read."""
    await _send(client, request("GET", f"{DOCUMENTS}/slow/small") * 10_000)


ATTACKS: dict[str, Attack] = {each.__name__: each for each in (heads, bodies, strangers, readers, pipelines)}


async def memory_under(running: Running, attack: Attack, connections: int) -> tuple[int, int]:
    """Bytes of the worker's memory before, and the most while `connections` attack it at once; it answers meanwhile."""
    async with connected(running) as wire:
        await warm(wire, f"{DOCUMENTS}/slow/small")
        assert (await wire.ask("PUT", K, LARGE)).status == 200
    [worker] = running.worker_pids()
    before = most = resident(worker)
    clients: list[socket.socket] = []
    host, port = running.url.removeprefix("http://").split(":")

    async def one(number: int) -> None:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        clients.append(client)
        await asyncio.get_running_loop().sock_connect(client, (host, int(port)))
        await attack(client, number)

    attacking = asyncio.gather(*(one(number) for number in range(connections)))
    try:
        while not attacking.done():
            await asyncio.wait([attacking], timeout=0.1)
            most = max(most, resident(worker))
        await attacking
        for _ in range(5):
            await asyncio.sleep(0.1)
            most = max(most, resident(worker))
        async with connected(running) as wire:  # who behaves is served
            while (await wire.ask("GET", f"{DOCUMENTS}/slow/small")).status != 200:
                pass  # Redis is still busy with what was asked for
        return before, max(most, resident(worker))
    finally:
        for client in clients:
            client.close()


async def main(connections: int) -> None:
    for name, attack in ATTACKS.items():
        with Running() as running:
            await asyncio.to_thread(running.wait_ready)
            before, most = await memory_under(running, attack, connections)
        print(f"{name}: {connections} connections, {before / MEBIBYTE:.0f} -> {most / MEBIBYTE:.0f} MiB", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults.slow", description=__doc__)
    parser.add_argument("--connections", type=int, default=1000, help="[1000]")
    asyncio.run(main(parser.parse_args().connections))
