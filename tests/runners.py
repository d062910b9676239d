"""Opens runners of scripts and commands on servers, in the same way as a worker does."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from service.redis.client import Redis
from service.storage.scripts.runner import Runner
from tests.servers import RedisProcess

Connect = Callable[..., Awaitable[Runner]]


@asynccontextmanager
async def runners() -> AsyncIterator[Connect]:
    """Yield a function that opens a runner on a server; close all runners at the end."""
    opened: list[Redis] = []

    async def connect(process: RedisProcess, **options: Any) -> Runner:
        made = Runner.open(process.url, bulk=True, **options)
        opened.append(made.redis)
        await made.redis.connect()
        return made

    yield connect
    for redis in opened:
        await redis.close()
