"""Applies an access document to the Redis at a URL: what the command line, the start and the admin API share.

Invariant: the connection is this call's own and is closed with it; a document is applied rarely.
"""

from typing import Any

from service import access
from service.access import Malformed
from service.dialects import discover
from service.redis.errors import Failed
from service.storage.directory import Directory
from service.storage.errors import Refusal, Unavailable
from service.storage.runner import Runner
from service.storage.store import Storage

__all__ = ["Malformed", "Unavailable", "declare"]

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
