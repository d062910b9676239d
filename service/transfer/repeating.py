"""Repeats idempotent work while Redis cannot be reached."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.storage.errors import OutcomeUnknown, Unavailable

ATTEMPTS = 10
PAUSE = 1.0  # seconds between two attempts

T = TypeVar("T")


async def until_reachable(work: Callable[[], Awaitable[T]]) -> T:
    """Do some idempotent work until Redis has answered, at most ATTEMPTS times."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await work()
        except (Unavailable, OutcomeUnknown):
            await asyncio.sleep(PAUSE)
    return await work()
