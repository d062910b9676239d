"""Applies an access document to the Redis at a URL: what the command line, the start and the admin API share.

Invariant: the connection is this call's own and is closed with it; a document is applied rarely.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from typing import Any

from service.api.access_document import Malformed
from service.dialects import discover
from service.operations import access
from service.redis.errors import Failed
from service.storage.access.directory import Directory
from service.storage.errors import Refusal, Unavailable
from service.storage.root import Storage
from service.storage.scripts.runner import Runner

CONNECT_SECONDS = 5.0


async def declare(redis_url: str, document: bytes | str) -> list[dict[str, Any]]:
    """Apply `document`; the tokens that were generated for it.

    Raises Malformed, and Unavailable, after which it may have been applied in part: repeat it.
    """
    runner = Runner.open(redis_url)
    try:
        await runner.redis.connect(CONNECT_SECONDS)
        return list(await access.apply(Directory(runner), Storage(runner), document, discover()))
    except (Failed, Refusal) as error:
        raise Unavailable(f"redis: {error}") from error
    finally:
        await runner.redis.close()


async def declare_apart(environment: dict[str, str], document: bytes) -> list[dict[str, Any]]:
    """`declare` by the command line, in a process with this environment: reading a megabyte of YAML takes a second, for
    which the event loop of this one would stand still."""
    command = (sys.executable, "-P", "-m", "service", "access", "apply", "-")
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment, start_new_session=True
    )
    try:
        told, failed = await process.communicate(document)
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode == 0:
        return [json.loads(line) for line in told.splitlines()]
    reason = (failed.decode(errors="replace").splitlines() or [""])[-1].removeprefix("polystow: ")
    if process.returncode == 2:
        raise Malformed(reason.removeprefix("-: "))
    raise Unavailable(reason if reason.startswith("redis: ") else "the process that applies the document ended")
