"""One connection without a socket, to the real application with its Redis. Replies arrive when the test says so."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from service.http.app import App
from service.http.connection import FastPathConnection
from service.http.state import State
from service.redis.errors import Failed
from service.redis.pending import Command
from service.storage.scripts.runner import Runner
from tests.running import soon


class Transport(asyncio.Transport):
    """A transport that records what the service writes. `slow`: it pauses writing after the next write."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = self.slow = False
        self.pause: Callable[[], None] = lambda: None

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written.append(bytes(data))
        if self.slow:
            self.pause()

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def write_eof(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


@contextmanager
def outside_of_tasks() -> Iterator[None]:
    """Call a function as a transport calls its protocol: in the event loop, but outside of its tasks."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    asyncio.tasks._leave_task(loop, task)
    try:
        yield
    finally:
        asyncio.tasks._enter_task(loop, task)


class Rig:
    """The connection. `held`: commands of handlers that the connection steps. `ordinary`: requests left to aiohttp."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.held: list[Command] = []
        self.ordinary = 0
        self.transport = Transport()
        self._really_send = app.redis.send
        app.redis.send = self._send
        serve = app.server.request_handler

        async def counted(request: Any) -> Any:
            self.ordinary += 1
            return await serve(request)

        app.server.request_handler = counted
        connection = app.server()
        assert isinstance(connection, FastPathConnection)
        self.connection: FastPathConnection = connection
        self.transport.pause = connection.pause_writing
        connection.connection_made(self.transport)

    def _send(self, command: Command) -> None:
        if isinstance(command.outcome, asyncio.Future):  # of a task
            self._really_send(command)
        else:
            self.held.append(command)

    def receive(self, data: bytes) -> None:
        with outside_of_tasks():
            self.connection.data_received(data)

    def resume_writing(self) -> None:
        with outside_of_tasks():
            self.connection.resume_writing()

    def leave(self) -> None:
        """Disconnect the client."""
        with outside_of_tasks():
            self.connection.connection_lost(None)

    async def reply(self) -> None:
        """Execute the oldest command, and let its reply arrive."""
        command = self.held.pop(0)
        answered = asyncio.get_running_loop().create_future()
        self._really_send(Command(answered, command.packed, command.write, key=command.key))
        try:
            reply = await answered
        except Failed as error:
            self.fail(command, error)
        else:
            with outside_of_tasks():
                command.outcome.set_result(reply)
        await self.rest()

    def fail(self, command: Command, error: Failed) -> None:
        """Let the oldest command fail without a reply."""
        command.outcome.set_exception(error)

    async def rest(self) -> None:
        """Run the event loop until only replies of Redis are awaited."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def answered(self, count: int) -> None:
        """Wait until there were so many answers, and execute each command that is sent meanwhile.

        A command may come late, from a handler that waits for a task.
        """

        async def written() -> bool:
            while self.held:
                await self.reply()
            return len(self.transport.written) >= count

        await soon(written)

    @property
    def statuses(self) -> list[int]:
        return [int(data.split(b" ")[1]) for data in self.transport.written if data.startswith(b"HTTP/")]


def runner_of(state: State) -> Runner:
    """Return the runner of an application, for handlers that a test defines."""
    return state.service.storage.runner


def at_rest(rig: Rig) -> bool:
    connection = rig.connection
    return rig.app.state.in_flight == 0 and connection._exchange is None and not connection._request_in_progress
