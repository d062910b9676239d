"""Work on many items, in bounded portions. Commands that are sent in one tick of the event loop take one round
trip.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

from service.storage.scripts.reply import Replies, Reply

FAN_OUT = 500  # commands that are sent together

T = TypeVar("T")
R = TypeVar("R")


async def fan_out(work: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
    """Do the work for each item, and return the results in order. The first failure ends it after its portion."""
    results: list[R] = []
    waiting = iter(items)
    while portion := list(islice(waiting, FAN_OUT)):
        outcomes = await asyncio.gather(*map(work, portion), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            results.append(outcome)
    return results


async def each(commands: Iterable[Reply]) -> list[Any]:
    """Return the replies of any number of commands, a portion at a time; the refusal in place of a failed one."""
    waiting, replies = iter(commands), list[Any]()
    while portion := list(islice(waiting, FAN_OUT)):
        replies += await Replies(portion)
    return replies


async def all_of(commands: Iterable[Reply]) -> list[Any]:
    """Return the replies of any number of commands. Raises the first refusal, after all that were sent have
    ended.
    """
    replies = await each(commands)
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies
