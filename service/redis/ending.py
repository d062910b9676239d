"""The end of background tasks."""

import asyncio
from typing import Any

AGAIN_SECONDS = 1.0  # after which a task that goes on is cancelled again; until then it may close its connection


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks until all have ended; what they raise is dropped.

    One cancellation may not be enough: a library that is making a connection at this moment may report it as an error
    of the connection, and the task then goes on. redis-py was seen to do that over TLS.
    """
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
