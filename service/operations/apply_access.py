"""Application of an access document to the Redis at a URL, for the command line, the start and the admin API.

Each call opens a connection and closes it again, because documents are applied rarely.
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


async def apply_document(redis_url: str, document: bytes | str) -> list[dict[str, Any]]:
    """Apply `document` and return the tokens that were generated for it.

    Raises Malformed. Raises Unavailable, after which the document may be applied in part and should be applied again.
    """
    runner = Runner.open(redis_url)
    try:
        await runner.redis.connect()
        return list(await access.apply(Directory(runner), Storage(runner), document, discover()))
    except (Failed, Refusal) as error:
        raise Unavailable(f"redis: {error}") from error
    finally:
        await runner.redis.close()


async def apply_in_subprocess(environment: dict[str, str], document: bytes) -> list[dict[str, Any]]:
    """Apply `document` in a subprocess, with the command line `polystow access apply -` and this environment.

    Reading a megabyte of YAML takes a second, in which the event loop of this process could do nothing else.
    Returns and raises the same as `apply_document`.
    """
    command = (sys.executable, "-P", "-m", "service", "access", "apply", "-")
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment, start_new_session=True
    )
    try:
        output, errors = await process.communicate(document)
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode == 0:
        return [json.loads(line) for line in output.splitlines()]
    reason = (errors.decode(errors="replace").splitlines() or [""])[-1].removeprefix("polystow: ")
    if process.returncode == 2:
        raise Malformed(reason.removeprefix("-: "))
    if not reason.startswith("redis: "):
        reason = "the process that applied the document ended early; apply the document again"
    raise Unavailable(reason)
