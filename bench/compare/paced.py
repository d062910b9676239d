"""`python -m bench.compare.paced`: a client that sends requests at a fixed rate, whatever the server does.

It reads an order as JSON from standard input and prints an outcome as JSON. Requests are due at fixed moments: those of
one millisecond together, because timers are no finer. A request that is due while all connections are busy waits for
the first free one. Its latency counts from the moment at which it was due and not from the moment at which it was sent.
So a stall of the server delays all requests that were due meanwhile; a client that waits for an answer before it times
the next request leaves them out ("coordinated omission").

The client may be late itself, because its timers are coarse or because it is busy. This is a part of the latencies, and
is reported beside them: a latency that is not much longer says nothing about the server.

Before a run, each connection sends a request that is not counted. The requests are sent on the connections in turn.

If the rate is 0, each connection sends its next request when the last one is answered: the maximum of this client.

Invariant: every request that was due is counted once: as answered, or as broken. An answer whose end is not known,
because it is chunked for example, is broken.
"""

import asyncio
import random
import sys
from array import array
from collections import deque
from collections.abc import Sequence
from math import ceil
from time import perf_counter, process_time
from typing import cast
from urllib.parse import urlsplit

import msgspec
import uvloop

STEP = 0.001  # seconds between two times at which requests are due
LATE_SECONDS = 10.0  # time for the answers to the last requests
DECK = 1 << 16  # requests in random order, which are sent over and over


class Part(msgspec.Struct):
    """One kind of request. `KEY` in its path stands for the number of a key."""

    weight: int
    method: str
    path: str
    headers: dict[str, str]
    body: str = ""

    def text(self, host: str, key: int) -> bytes:
        body = self.body.encode()
        lines = [f"{self.method} {self.path.replace('KEY', str(key))} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode() + body


class Order(msgspec.Struct):
    """A run: `rate` requests per second, over a number of connections."""

    url: str
    parts: list[Part]
    rate: float
    seconds: float
    connections: int = 64
    keys: int = 1
    seed: int = 1


class Outcome(msgspec.Struct):
    """The latencies of a run in milliseconds. `refused` are answers with a status from 400 on.

    `late_p50` and `late_p99`: by how much the client itself noticed too late that requests were due, in milliseconds.
    `cpu`: the share of a core that the client used.
    """

    requests: int
    seconds: float
    p50: float
    p99: float
    p999: float
    longest: float
    late_p50: float
    late_p99: float
    cpu: float
    refused: int
    broken: int


class Run:
    """One run: the requests that are due, and the connections that are free."""

    def __init__(self, order: Order) -> None:
        self.order = order
        host, chosen = urlsplit(order.url).netloc, random.Random(order.seed)
        weights = [part.weight for part in order.parts]
        texts = [[part.text(host, key) for key in range(order.keys)] for part in order.parts]
        self.deck = [chosen.choice(each) for each in chosen.choices(texts, weights, k=DECK)]
        self.sent = self.refused = self.broken = 0
        self.latencies = array("d")
        self.lateness = array("d")  # of the client itself
        self.due: deque[float] = deque()
        self.clients: list[Client] = []
        self.free: deque[Client] = deque()
        self.over = asyncio.Event()
        self.began = self.until = 0.0
        self._steps = self._scheduled = 0
        self._more_due = bool(order.rate)

    async def connect(self) -> None:
        """Open the connections, and send one request on each. Raises OSError, TimeoutError."""
        loop, where = asyncio.get_running_loop(), urlsplit(self.order.url)
        for _ in range(self.order.connections):
            _, client = await loop.create_connection(lambda: Client(self), where.hostname or "", where.port or 80)
            self.clients.append(client)
        for client in self.clients:
            client.send(0.0)
        async with asyncio.timeout(LATE_SECONDS):
            await self.over.wait()
        self.over.clear()
        self.latencies, self.sent, self.refused = array("d"), 0, 0

    async def carry_out(self) -> Outcome:
        used = process_time()
        self.began = perf_counter()
        self.until = self.began + self.order.seconds
        if self.order.rate:
            self._step()
        else:
            self.due.extend([self.began] * len(self.free))
            self._send_due()
        try:
            async with asyncio.timeout(self.order.seconds + LATE_SECONDS):
                await self.over.wait()
        except TimeoutError:
            pass
        seconds = perf_counter() - self.began
        busy = len(self.clients) - len(self.free)
        self.broken += len(self.due) + busy
        for client in self.clients:
            client.close()
        return self._outcome(max(seconds, self.order.seconds), process_time() - used)

    def _step(self) -> None:
        """Add the requests that have become due since the last step, and send those that find a free connection."""
        now, order = perf_counter(), self.order
        while (moment := self.began + self._steps * STEP) <= now and moment < self.until:
            self._steps += 1
            self.lateness.append(now - moment)
            count = int(self._steps * STEP * order.rate) - self._scheduled
            self._scheduled += count
            self.due.extend([moment] * count)
        self._send_due()
        if moment < self.until:
            asyncio.get_running_loop().call_later(max(0.0, moment - perf_counter()), self._step)
        else:
            self._more_due = False
            self.end_if_done()

    def _send_due(self) -> None:
        while self.free and self.due:
            self.free.popleft().send(self.due.popleft())

    def next_request(self) -> bytes:
        self.sent += 1
        return self.deck[self.sent % DECK]

    def answered(self, client: "Client", due: float, now: float) -> None:
        """Count an answer, and give the connection its next request."""
        self.latencies.append(now - due)
        if self.due:
            client.send(self.due.popleft())
        elif not self.order.rate and now < self.until:
            client.send(now)
        else:
            self.free.append(client)
            self.end_if_done()

    def end_if_done(self) -> None:
        """End the run if all requests are answered and none becomes due any more, or if no connection is left."""
        idle = len(self.free) == len(self.clients)
        if not self.clients or (idle and not self.due and (not self._more_due or not self.began)):
            self.over.set()

    def lost(self, client: "Client") -> None:
        self.clients.remove(client)
        if client in self.free:
            self.free.remove(client)
        else:
            self.broken += 1
        self.end_if_done()

    def _outcome(self, seconds: float, used: float) -> Outcome:
        found, late = sorted(self.latencies), sorted(self.lateness)
        p50, p99, p999, longest = (in_ms(found, share) for share in (0.5, 0.99, 0.999, 1.0))
        late_p50, late_p99 = (in_ms(late, share) for share in (0.5, 0.99))
        return Outcome(
            requests=len(found),
            seconds=round(seconds, 6),
            p50=p50,
            p99=p99,
            p999=p999,
            longest=longest,
            late_p50=late_p50,
            late_p99=late_p99,
            cpu=round(used / seconds, 3),
            refused=self.refused,
            broken=self.broken,
        )


class Client(asyncio.Protocol):
    """One connection, with at most one request at a time."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._due = 0.0
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, due: float) -> None:
        """Send a request that was due at this moment."""
        assert self._transport is not None
        self._due = due
        self._transport.write(self._run.next_request())

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        length = whole_length(received)
        if length is None or len(received) > length > 0:
            assert self._transport is not None
            self._transport.abort()
            return
        if not length or len(received) < length:
            self._received = received
            return
        self._received = b""
        if received[9] >= ord("4"):
            self._run.refused += 1
        self._run.answered(self, self._due, perf_counter())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closing:
            self._run.lost(self)

    def close(self) -> None:
        assert self._transport is not None
        self._closing = True
        self._transport.close()


def whole_length(received: bytes) -> int | None:
    """Return the length of the answer that begins here; 0 if its head has not arrived whole, None if the head
    does not say."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return 0
    _, named, rest = received[:end].lower().partition(b"\r\ncontent-length:")
    if not named and received[9:12] not in (b"204", b"304"):
        return None
    return end + 4 + (int(rest.partition(b"\r\n")[0]) if named else 0)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that this share of the values does not exceed; 0 if there are no values."""
    return ordered[max(ceil(share * len(ordered)) - 1, 0)] if ordered else 0.0


def in_ms(ordered: Sequence[float], share: float) -> float:
    return round(1000 * percentile(ordered, share), 3)


async def pace(order: Order) -> Outcome:
    """Carry out an order. Raises OSError if no connection can be made, TimeoutError if one is not answered."""
    run = Run(order)
    await run.connect()
    return await run.carry_out()


def main() -> None:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    sys.stdout.write(msgspec.json.encode(uvloop.run(pace(order))).decode() + "\n")


if __name__ == "__main__":
    main()
