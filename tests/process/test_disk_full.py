"""Tests a full disk: reads work, writes are refused, and `/readyz`, the log and `polystow doctor` report it."""

import asyncio
import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from aiohttp import ClientSession

from service.operations.port import READ_ONLY
from tests.process.test_operations import status
from tests.running import ACCESS, ROOT, Running, environment, polystow, soon

KEY = {"Authorization": "Bearer ak-1", "Content-Type": "application/json"}
DOCUMENT = "/api/v1/storage/json/disk/one"
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
FULL = (
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0));"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


async def ask(http: ClientSession, running: Running, method: str, data: bytes | None = None) -> int:
    async with http.request(method, running.url + DOCUMENT, data=data, headers=KEY) as answer:
        await answer.read()
        return answer.status


async def ready(http: ClientSession, running: Running, wanted: dict[str, Any]) -> None:
    """Wait until `/readyz` has this text; its status must be 200 all the time."""

    async def check() -> bool:
        told = await status(http, running.ops_url + "/readyz")
        assert told[0] == 200
        return bool(told[1] == wanted)

    await soon(check)


async def test_reads_are_served_and_refused_writes_are_reported_everywhere(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    """No file of Redis's may grow, so that its writes fail as on a full disk."""
    running = serve()
    assert await ask(http, running, "PUT", b"[1]") == 200
    redis = running.redis_pid()
    log = (running.data_dir / "redis.log").stat().st_size
    resource.prlimit(redis, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    await soon(lambda: refused(http, running))
    assert await ask(http, running, "DELETE") == 503
    assert await ask(http, running, "GET") == 200
    assert (running.data_dir / "redis.log").stat().st_size == log
    await ready(http, running, {"status": "read-only", "reasons": [READ_ONLY]})
    done = await asyncio.to_thread(lambda: polystow("doctor", data_dir=running.data_dir))
    assert done.returncode == 1
    assert "writes are refused, reads are served" in done.stdout
    assert "-> free space on the server's disk" in done.stdout
    resource.prlimit(redis, resource.RLIMIT_FSIZE, UNLIMITED)
    await ready(http, running, {"status": "ok"})
    assert await ask(http, running, "DELETE") == 200
    said = [json.loads(line)["message"] for line in running.log.splitlines()]
    assert (said.count(READ_ONLY), said.count("redis accepts writes again")) == (1, 1)


async def test_acknowledged_writes_after_a_rewrite_and_a_full_disk_survive_a_kill_of_redis(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    """Redis leaves a gap in its file then, and does not start from it."""
    running = serve()
    assert await ask(http, running, "PUT", b"[1]") == 200
    with running.redis as redis:
        redis.execute_command("BGREWRITEAOF")
        await soon(lambda: persistence(running, aof_rewrites=1, aof_rewrite_in_progress=0))
        files = [path.stat().st_size for path in running.data_dir.glob("appendonlydir/*.incr.aof")]
        limit = (max(files) + 50, resource.RLIM_INFINITY)
        resource.prlimit(running.redis_pid(), resource.RLIMIT_FSIZE, limit)
        await soon(lambda: refused(http, running))
        resource.prlimit(running.redis_pid(), resource.RLIMIT_FSIZE, UNLIMITED)
        await soon(lambda: persistence(running, aof_last_write_status="ok"))
    assert await ask(http, running, "PUT", b"[3]") == 200
    await asyncio.to_thread(running.kill_redis)
    async with http.get(running.url + DOCUMENT, headers=KEY) as answer:
        assert (answer.status, await answer.json()) == (200, [3])


async def persistence(running: Running, **wanted: object) -> bool:
    with running.redis as redis:
        return bool(redis.info("persistence").items() >= wanted.items())


async def refused(http: ClientSession, running: Running) -> bool:
    """Return True if a write is refused. The one that meets the full disk is acknowledged, later ones are not."""
    return await ask(http, running, "PUT", b"[2]") == 503


async def test_an_installation_starts_again_on_a_full_disk(serve: Callable[..., Running], http: ClientSession) -> None:
    """The installation may keep its signing key in the data directory. Redis 8 writes a file before it serves."""
    running = serve(signing_key="")
    assert await ask(http, running, "PUT", b"[1]") == 200
    with running.redis as redis:
        needs_space = int(redis.info("server")["redis_version"].partition(".")[0]) >= 8
    assert running.stop() == 0
    settings = {"signing_key": "", "data_dir": running.data_dir, "port": 0, "ops_port": 0, "drain_seconds": 0}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FULL, "-m", "service", "serve"),
        cwd=ROOT,
        env=environment(settings | {"access": ACCESS}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    if needs_space:
        said = (await process.stdout.read()).decode()
        assert await process.wait() == 1
        assert "the embedded Redis ended at its start; it logged:\\nnothing; the disk may be full" in said
        return
    try:
        said = ""
        while not (found := re.search(r"listening on (\S+) \(operations: (\S+)\)", said)):
            line = (await process.stdout.readline()).decode()
            assert line, said
            said += line
        running.url, running.ops_url = found.groups()
        assert await ask(http, running, "GET") == 200
        await soon(lambda: refused(http, running))
        await ready(http, running, {"status": "read-only", "reasons": [READ_ONLY]})
    finally:
        process.terminate()
    assert await process.wait() == 0
