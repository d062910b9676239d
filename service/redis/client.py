"""What storage sees of Redis: commands go to the node that holds their key.

Invariant: callers name the key of every command, so that a topology of many nodes needs no change in them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol

from service.redis import address
from service.redis.lane import Lane
from service.redis.pending import Outcome
from service.redis.wire import Argument, Ask


class Execute(Protocol):
    """Sends a command to the node of `key`; see `Lane.execute` for what the future gets.

    `write` says that the command must not run twice: without it, it is repeated when a connection is lost.
    """

    def __call__(self, *args: Argument, key: str | bytes, write: bool) -> asyncio.Future[Any]: ...


class Send(Protocol):
    """The same for a caller that takes the outcome itself; see `Lane.send`."""

    def __call__(self, outcome: Outcome, args: tuple[Argument, ...], *, key: str | bytes, write: bool) -> None: ...


class Redis:
    """A Redis, of any topology: its `lanes` (one per primary) and the ways from a key to one of them."""

    def __init__(self, lanes: Sequence[Lane], execute: Execute, send: Send) -> None:
        self.lanes = lanes
        self.execute = execute
        self.send = send

    @staticmethod
    def open(
        url: str,
        *,
        timeout: float = 5.0,
        max_commands: int = 10_000,
        max_bytes: int = 256 * 1024 * 1024,
        on_connect: Callable[[Ask], Awaitable[None]] | None = None,
    ) -> "Redis":
        """The Redis at `url`; nothing is sent before `connect`. See Lane for the parameters.

        To be called inside a running event loop. Raises ValueError, in words, for a URL that cannot be used.
        """
        node = address.parse(url)
        lane = Lane(
            partial(address.connection, node),
            name=str(node),
            timeout=timeout,
            max_commands=max_commands,
            max_bytes=max_bytes,
            on_connect=on_connect,
        )
        return Redis([lane], lane.execute, lane.send)

    async def connect(self, within: float = 5.0) -> None:
        """Wait until every lane is connected. Raises NotSent, in words; they go on trying until `close`."""
        await asyncio.gather(*(lane.connect(within) for lane in self.lanes))

    async def close(self) -> None:
        await asyncio.gather(*(lane.close() for lane in self.lanes))
