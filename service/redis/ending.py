"""Cancellation of background tasks."""

import asyncio
from typing import Any

AGAIN_SECONDS = 1.0  # time for a task to end, for example to close its connection; then it is cancelled again


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks until all have ended. Their exceptions are dropped.

    One cancellation may not be enough: a library that is making a connection at this moment may report it as an error
    of the connection, and the task then goes on. redis-py was seen to do that over TLS.
    """
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
