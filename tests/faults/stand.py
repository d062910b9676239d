"""The test stand of a trial: a service with some workers, a proxy, and a Redis that writes its data to disk.

`cluster.py` has a stand with a cluster. The faults use the methods that both stands have.
"""

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

from redis import RedisError

from service.redis.gaps import close_gaps
from service.redis.rewriting import keep_rewritten
from service.redis.syncing import keep_synced
from service.redis.unfinished import cut_unfinished
from tests.faults.proxy import Proxy
from tests.running import Running, polystow, soon
from tests.servers import RedisProcess, binaries
from tests.slow_disk import library

UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


class Service:
    """The base of all stands: kills and pauses workers, and runs `polystow fsck`.

    `failovers`: for each failover, a moment between the last reply of the old primary and the first of the new one.
    """

    topology: str

    def __init__(self, service: Running, url: str) -> None:
        self.service, self._url = service, url
        self.failovers: list[float] = []

    async def kill_worker(self, random: Random) -> None:
        for pid in self._worker(random):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def pause_worker(self, random: Random, seconds: float) -> None:
        for pid in self._worker(random):
            with suppress(ProcessLookupError):  # another fault has just killed it
                os.kill(pid, signal.SIGSTOP)
                await asyncio.sleep(seconds)
                os.kill(pid, signal.SIGCONT)

    def _worker(self, random: Random) -> list[int]:
        return random.sample(pids, 1) if (pids := self.service.worker_pids()) else []

    async def fsck(self) -> tuple[int, str]:
        """Run `polystow fsck`; return its exit status and output."""
        done = await asyncio.to_thread(polystow, "fsck", redis_url=self._url)
        return done.returncode, done.stdout + done.stderr


class Stand(Service):
    """A stand with one Redis. Each method returns when its fault has ended."""

    topology = "single"

    def __init__(self, redis: RedisProcess, proxy: Proxy, service: Running) -> None:
        super().__init__(service, redis.url)
        self.redis, self.proxy = redis, proxy

    async def kill_redis(self, away: float) -> None:
        """Kill Redis with SIGKILL; start it on the same files after `away` seconds."""
        await asyncio.to_thread(self.redis.kill)
        await asyncio.sleep(away)
        await asyncio.to_thread(self._start)

    def _start(self) -> None:
        """Start Redis like the embedded one: its append-only file is repaired before, and again if it is refused."""
        cut_unfinished(self.redis.directory)
        try:
            self.redis.start()
        except AssertionError:
            if not close_gaps(self.redis.directory):
                raise
            self.redis.start()

    async def pause_redis(self, seconds: float) -> None:
        self.redis.pause()
        await asyncio.sleep(seconds)
        self.redis.resume()

    async def configure(self, name: str, value: str) -> None:
        await self.command("CONFIG", "SET", name, value)

    async def command(self, *command: str) -> Any:
        return await asyncio.to_thread(self.redis.command, *command)

    async def flush_scripts(self) -> None:
        await self.command("FUNCTION", "FLUSH")

    def fill_disk(self, left: int) -> None:
        """Let writes of Redis fail, as on a full disk, when its largest file has grown by `left` bytes."""
        files = [path.stat().st_size for path in self.redis.directory.rglob("*.aof") if path.is_file()]
        resource.prlimit(self.redis.pid, resource.RLIMIT_FSIZE, (max(files) + left, resource.RLIM_INFINITY))

    async def free_disk(self) -> None:
        """Let writes of Redis succeed again. If Redis has ended, start it."""
        with suppress(ProcessLookupError):
            resource.prlimit(self.redis.pid, resource.RLIMIT_FSIZE, UNLIMITED)
        await soon(self._written)

    async def _written(self) -> bool:
        """Return True if Redis has written what it could not write before; until then, a kill would lose it."""
        if not self.redis.alive:
            await asyncio.to_thread(self._start)
        try:
            told = await asyncio.to_thread(self.redis.command, "INFO", "persistence")
        except RedisError:
            return False
        return bool(told["aof_last_write_status"] == "ok")


@asynccontextmanager
async def standing(
    *config: str,
    binary: Path | None = None,
    appendfsync: str = "everysec",
    slow_disk: bool = False,
    **settings: object,
) -> AsyncIterator[Stand]:
    """Yield a stand. `config` are further arguments of Redis's command line; `settings` are those of the service.

    As for the embedded Redis, this process syncs the file each second for `everysec`, and lets Redis rewrite a file in
    which a full disk has left a gap.
    """
    path = binary or binaries()[0][1]
    keeping = ("--appendonly", "yes", "--appendfsync", "always" if appendfsync == "always" else "no")
    # A small minimum, so that there are rewrites: a full disk damages files that a rewrite has begun.
    rewriting = ("--auto-aof-rewrite-min-size", "1mb")
    with RedisProcess(path, *keeping, *rewriting, *config, preload=library() if slow_disk else None) as redis:
        beside = [asyncio.create_task(keep_synced(redis.directory))]
        if appendfsync != "always":
            beside.append(asyncio.create_task(keep_rewritten(redis.directory, redis.socket)))
        proxy = Proxy(redis.socket)
        await proxy.start()
        # The deadline is shorter than some faults, so that there are unknown outcomes.
        given: dict[str, Any] = {"workers": 2, "request_timeout": 1, "redis_url": proxy.url} | settings
        with Running(**given) as service:
            try:
                await asyncio.to_thread(service.wait_ready)
                yield Stand(redis, proxy, service)
            finally:
                await asyncio.to_thread(service.close)
                await proxy.close()
                for task in beside:
                    task.cancel()
