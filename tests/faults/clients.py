"""Clients that write and read over HTTP, each on a connection of its own, and record their calls in a history."""

import asyncio
from collections.abc import Callable
from random import Random
from time import monotonic

from tests.faults.history import History, Outcome, Read, Write
from tests.faults.register import Batching, Keys, Register
from tests.raw_http import Response, Wire, connected
from tests.running import Running

ANSWER_SECONDS = 4.0  # after these without an answer, the outcome is unknown and the client reconnects
NOT_AWAITED = 0.002  # share of the writes after which the client closes the connection without waiting for the answer
BATCHES = 0.4  # share of the writes and reads that are of several keys, where the register has such
CUT_OFF = 0.002  # share of the writes in which it closes the connection before the last byte of the request


class Broken(Exception):
    """The client closes the connection on purpose."""


class Client:
    """One client. It makes calls until `over`, and reconnects after each failure."""

    def __init__(
        self, number: str, register: Register, keys: list[str], history: History, random: Random, writes: float = 0.6
    ) -> None:
        self._number, self._register, self._history, self._random = number, register, history, random
        self._writes = writes
        self._keys = Keys(keys)
        self._written = self._looked = 0

    async def run(self, service: Running, over: Callable[[], bool]) -> None:
        while not over():
            try:
                async with connected(service) as wire:
                    while not over():
                        await (self._write(wire) if self._random.random() < self._writes else self._read(wire))
            except (OSError, EOFError, TimeoutError, Broken):
                await asyncio.sleep(0.02)

    async def _write(self, wire: Wire) -> None:
        writes, request, note = self._next_write()
        self._history.writes += writes
        begun = monotonic()
        for write in writes:
            write.invoked = begun
        fate = self._random.random()
        if fate < CUT_OFF:
            for write in writes:
                write.outcome = Outcome.REFUSED  # an incomplete request is never carried out
            await wire.send(request[: self._random.randrange(1, len(request))])
            raise Broken
        await wire.send(request)
        if fate < CUT_OFF + NOT_AWAITED:
            await asyncio.sleep(self._random.choice([0, 0.001]))
            raise Broken
        response = await answered(wire)
        ended = monotonic()
        for write in writes:
            write.returned = ended
        note(response)

    def _next_write(self) -> tuple[list[Write], bytes, Callable[[Response], None]]:
        """Make the next request that writes: its operations, its bytes, and what notes its answer in them."""
        self._written += 1
        name = f"{self._number}-{self._written}"
        register, keys = self._register, self._keys
        if isinstance(register, Batching) and self._random.random() < BATCHES:
            writes, request = register.batch(self._random, keys, name)
            return writes, request, lambda response: register.batched(writes, keys, response)
        key = self._random.choice(keys.names)
        write, request = register.write(self._random, key, keys.of(key), name)
        return [write], request, lambda response: register.wrote(write, keys.of(key), response)

    async def _read(self, wire: Wire) -> None:
        if isinstance(self._register, Batching) and self._random.random() < BATCHES:
            await self._look_at_all(wire, self._register)
            return
        key = self._random.choice(self._keys.names)
        await self.look(wire, key, self._register.read(self._random, key))

    async def look(self, wire: Wire, key: str, request: bytes) -> bool:
        """Read once. Return False if the read was refused."""
        read = Read(key, monotonic(), 0.0)
        await wire.send(request)
        response = await answered(wire)
        read.returned = monotonic()
        if told := self._register.saw(read, self._keys.of(key), response):
            self._history.reads.append(read)
        return told

    async def _look_at_all(self, wire: Wire, register: Batching) -> None:
        """Read all keys at once."""
        self._looked += 1
        begun = monotonic()
        await wire.send(register.read_all())
        response = await answered(wire)
        ended = monotonic()
        for read in register.saw_all(response):
            read.invoked, read.returned, read.together = begun, ended, f"{self._number} read {self._looked}"
            self._history.reads.append(read)


async def answered(wire: Wire) -> Response:
    async with asyncio.timeout(ANSWER_SECONDS):
        return await wire.response()
