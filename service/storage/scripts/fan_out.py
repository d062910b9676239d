"""Doing the same for many, a portion at a time: what is sent in one tick is one round trip, and bounded."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

from service.storage.scripts.reply import Replies, Reply

FAN_OUT = 500  # commands sent in one go

T = TypeVar("T")
R = TypeVar("R")


async def fan_out(work: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
    """The results in the order of the items. The first failure ends it, once its portion is done."""
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
    """The replies of any number of commands, some hundred at a time; of one that failed, the refusal."""
    waiting, replies = iter(commands), list[Any]()
    while portion := list(islice(waiting, FAN_OUT)):
        replies += await Replies(portion)
    return replies


async def all_of(commands: Iterable[Reply]) -> list[Any]:
    """The replies of any number of commands. Raises the first refusal, once all that were sent have their outcome."""
    replies = await each(commands)
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies
