"""Simulates a Kubernetes Service: one address whose connections are spread over the pods that are ready.

Like kube-proxy, it chooses a pod for each new connection, and does not change open connections. A pod that is not ready
gets no new ones. Like the kubelet, it asks `/readyz` periodically; after `THRESHOLD` refusals a pod is not ready.
"""

import asyncio
from contextlib import suppress
from itertools import count
from typing import Self

from aiohttp import ClientError, ClientSession, ClientTimeout

from tests.running import Running

PERIOD = 0.1
THRESHOLD = 3
CHUNK = 1 << 16


class Balancer:
    """The balancer, to be started with `async with`. `url` is the Service's address."""

    def __init__(self, pods: list[Running]) -> None:
        self._pods = pods
        self._ready = [True] * len(pods)
        self._turn = count()
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = [0] * len(pods)
        self.removals = [0] * len(pods)
        self.url = ""

    def ready(self, pod: int) -> bool:
        """True if the pod gets new connections."""
        return self._ready[pod]

    def chosen_since(self, pod: int, connections: int) -> bool:
        """Return True if the pod was given a connection since it had this number of them."""
        return self.connections[pod] > connections

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        for pod in range(len(self._pods)):
            self._keep(self._probe(pod))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _keep(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)

    async def _probe(self, pod: int) -> None:
        refusals = 0
        async with ClientSession(timeout=ClientTimeout(1.0)) as http:
            while True:
                refusals = 0 if await self._asked(http, pod) else refusals + 1
                if refusals == 0:
                    self._ready[pod] = True
                elif refusals >= THRESHOLD and self._ready[pod]:
                    self._ready[pod] = False
                    self.removals[pod] += 1
                await asyncio.sleep(PERIOD)

    async def _asked(self, http: ClientSession, pod: int) -> bool:
        try:
            async with http.get(self._pods[pod].ops_url + "/readyz") as answer:
                return answer.status == 200
        except (ClientError, TimeoutError):
            return False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ready = [pod for pod in range(len(self._pods)) if self._ready[pod]]
        if not ready:
            writer.transport.abort()
            return
        pod = ready[next(self._turn) % len(ready)]
        host, _, port = self._pods[pod].url.removeprefix("http://").partition(":")
        try:
            inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        self.connections[pod] += 1
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Copy bytes in one direction, and pass on the end of the stream."""
    with suppress(OSError):
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
    sink.close()
