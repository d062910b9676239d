"""Runs coroutines concurrently, with a limit."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def at_once(limit: int, work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all coroutines, at most `limit` at a time; return their results in order. A failure cancels the others."""
    turns = asyncio.Semaphore(limit)

    async def do(piece: Coroutine[Any, Any, T]) -> T:
        async with turns:
            return await piece

    pieces = list(work)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(do(piece)) for piece in pieces]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        for piece in pieces:
            piece.close()  # closes the coroutines that never started
    return [task.result() for task in tasks]
