"""Tests a rolling update as Kubernetes does it: two pods on one Redis are replaced one after the other under load."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from aiohttp import ClientError, ClientSession

from tests.k8s.balancer import Balancer
from tests.running import Running, eventually
from tests.servers import RedisProcess, binaries

KEY = {"Authorization": "Bearer ak-1", "Content-Type": "application/json"}
CLIENTS = 16
PAUSE = 0.01  # seconds between two turns of a client
KEPT = 50  # requests, of all clients, until one of them closes its connection


@pytest.fixture
def redis() -> Iterator[RedisProcess]:
    with RedisProcess(binaries()[0][1], "--appendonly", "yes", tcp=True) as process:
        yield process


class Clients:
    """Clients that write and read one document each, again and again, and sometimes change their connection."""

    def __init__(self, url: str) -> None:
        self.statuses: Counter[object] = Counter()
        self.lost = 0
        self.stopping = False
        self._url = f"{url}/api/v1/storage/json/rolling"

    async def run(self) -> None:
        async with ClientSession(headers=KEY) as http:
            await asyncio.gather(*(self._client(http, number) for number in range(CLIENTS)))

    async def _client(self, http: ClientSession, number: int) -> None:
        url, turn, acknowledged = f"{self._url}/{number}", 0, b""
        while not self.stopping:
            turn += 1
            body = b'{"turn":%d}' % turn
            if await self._ask(http, "PUT", url, body) is not None:
                acknowledged = body
            found = await self._ask(http, "GET", url)
            self.lost += found is not None and found != acknowledged
            await asyncio.sleep(PAUSE)

    async def _ask(self, http: ClientSession, method: str, url: str, body: bytes | None = None) -> bytes | None:
        try:
            last = {"Connection": "close"} if sum(self.statuses.values()) % KEPT == 0 else None
            async with http.request(method, url, data=body, headers=last) as answer:
                self.statuses[answer.status] += 1
                return await answer.read()
        except (ClientError, OSError) as error:
            self.statuses[repr(error)] += 1
            return None


async def test_no_request_fails_while_pods_are_replaced(serve: Callable[..., Running], redis: RedisProcess) -> None:
    pods = [serve(redis_url=redis.url, drain_seconds=1) for _ in range(2)]
    async with Balancer(pods) as balancer:
        clients = Clients(balancer.url)
        loading = asyncio.create_task(clients.run())
        for number, pod in enumerate(pods):
            await asyncio.sleep(0.5)
            await asyncio.to_thread(pod.restart)  # fails unless it ended with status 0
            before = balancer.connections[number]
            await asyncio.to_thread(eventually, partial(balancer.ready, number))
            await asyncio.to_thread(eventually, partial(balancer.chosen_since, number, before))
        clients.stopping = True
        await loading
    assert set(clients.statuses) == {200}, clients.statuses
    assert clients.statuses[200] > 10 * CLIENTS
    assert clients.lost == 0
    assert balancer.removals == [1, 1]
