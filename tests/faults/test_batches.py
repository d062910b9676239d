"""Batches while Redis and workers are killed: none is half done, none that was acknowledged is lost or done twice."""

import asyncio
import json
import os
import signal
from collections import Counter
from random import Random
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession

from tests.effort import either
from tests.running import Running, eventually

DOCUMENTS = 5  # in a batch, of them one that is created and one that is deleted
CLIENTS = 12
SECONDS = either(4, 30)
KILLS = ("redis", "worker")


class Writer:
    """One client that writes its own group of documents, whose numbers have to be equal at all times."""

    def __init__(self, http: ClientSession, running: Running, name: str, found: Counter[str]) -> None:
        self._http, self._running, self._name, self._found = http, running, name, found
        self._next, self._acknowledged = 1, 0

    def _batch(self) -> bytes:
        number = self._next
        same: list[dict[str, Any]] = [
            {"op": "put", "key": f"k{n}", "value": {"n": number}} for n in range(DOCUMENTS - 2)
        ]
        same[0] = {"op": "patch", "key": "k0", "value": {"n": number}} if self._acknowledged else same[0]
        made = {"op": "put", "key": f"made{number % 2}", "value": {"n": number}}
        gone = {"op": "delete", "key": f"made{(number + 1) % 2}"}
        return json.dumps({"operations": [*same, made, *([gone] if self._acknowledged else [])]}).encode()

    async def _ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        headers["Authorization"] = "Bearer ak-1"
        async with self._http.request(method, self._running.url + path, data=body, headers=headers) as reply:
            return reply.status, await reply.read()

    async def write(self) -> None:
        """Write the next batch until it is acknowledged: with an idempotency key it is done once."""
        try:
            status, body = await self._ask(
                "POST", f"/api/v1/storage/batch/{self._name}", self._batch(), **{"Idempotency-Key": f"n{self._next}"}
            )
        except (ClientError, TimeoutError, OSError):
            self._found["broken"] += 1
            await asyncio.sleep(0.02)
            return
        if status == 200:
            self._found["acknowledged"] += 1
            self._acknowledged, self._next = self._next, self._next + 1
        else:
            assert status == 503, (status, body)
            self._found["refused"] += 1
            await asyncio.sleep(0.02)

    async def read(self) -> None:
        """Read the whole group, and find it equal."""
        try:
            status, body = await self._ask("GET", f"/api/v1/storage/json/{self._name}?sortBy=key")
            items = json.loads(body) if status == 200 else []
        except (ClientError, TimeoutError, OSError, ValueError):
            return
        if items:
            self.check(items)
            self._found["looked at"] += 1

    def check(self, items: list[dict[str, Any]]) -> None:
        """Fail if a batch is there by half, or if one that was acknowledged is not."""
        numbers = {item["value"]["n"] for item in items}
        assert len(items) == DOCUMENTS - 1, items
        assert len(numbers) == 1, items
        assert self._acknowledged <= numbers.pop() <= self._next


async def kill(running: Running, random: Random, found: Counter[str]) -> None:
    """Kill Redis or a worker with SIGKILL."""
    what = KILLS[found["kills"] % 2]
    if what == "redis":
        await asyncio.to_thread(running.kill_redis)
    else:
        os.kill(random.choice(await asyncio.to_thread(eventually, running.worker_pids)), signal.SIGKILL)
    found["kills"] += 1


@pytest.mark.long
async def test_no_batch_is_half_done_while_redis_and_workers_are_killed() -> None:
    random, found = Random(5), Counter[str]()
    with Running(workers=2) as running:
        running.wait_ready()
        async with ClientSession() as http:
            writers = [Writer(http, running, f"group{n}", found) for n in range(CLIENTS)]
            over = asyncio.Event()

            async def work(writer: Writer) -> None:
                while not over.is_set():
                    await writer.write()
                    if random.random() < 0.2:
                        await writer.read()

            async def harm() -> None:
                until = asyncio.get_running_loop().time() + SECONDS
                while asyncio.get_running_loop().time() < until or found["kills"] < 4:
                    await asyncio.sleep(random.uniform(0.3, 1.0))
                    await kill(running, random, found)
                over.set()

            await asyncio.gather(harm(), *map(work, writers))
            await asyncio.to_thread(running.wait_ready)
            for writer in writers:
                await writer.read()
    print(dict(found))
    assert found["acknowledged"] > 50
    assert found["looked at"] > CLIENTS
