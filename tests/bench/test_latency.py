"""Tests latencies at a fixed rate: a request is timed from the moment at which it was due, whatever the server does."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path

import pytest

from bench.compare.latency import paced
from bench.compare.loading import Wrong, prepare
from bench.compare.paced import LATE_SECONDS, Order, Part, Run, pace, percentile, whole_length
from bench.compare.systems.polystow import FastPath
from bench.compare.workloads import MISSING, MIX
from bench.placement import placement

ANSWER = b"HTTP/1.1 %d OK\r\nContent-Length: 2\r\n\r\n{}"
GET = Part(100, "GET", "/KEY", {})


class Served:
    """A server that stalls once, at the request of number `at`, and closes a connection at that of number `close`."""

    def __init__(self, status: int = 200, stall: float = 0.0, at: int = -1, close: int = -1) -> None:
        self.stall, self.at, self.close = stall, at, close
        self.requests: list[bytes] = []
        self.connections: list[int] = []  # the requests of each
        self.answer = ANSWER % status

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.connections)
        self.connections.append(0)
        with closing(writer):
            while head := (await reader.read(4096)):
                self.connections[number] += 1
                if self.connections[number] > 1:  # the first one is for warming up
                    self.requests.append(head)
                if len(self.requests) == self.close:
                    return
                if len(self.requests) == self.at:
                    time.sleep(self.stall)  # noqa: ASYNC251 - it stalls all connections
                writer.write(self.answer[:30])
                await asyncio.sleep(0)
                writer.write(self.answer[30:])


@asynccontextmanager
async def listening(served: Served) -> AsyncIterator[str]:
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"


async def test_requests_are_sent_and_counted_at_the_given_rate() -> None:
    served = Served()
    async with listening(served) as url:
        outcome = await pace(Order(url, [GET], rate=300, seconds=0.5, connections=3, keys=5))
    assert (outcome.requests, outcome.refused, outcome.broken) == (150, 0, 0)
    assert len(served.requests) == 150
    assert {each.split(b" ")[1] for each in served.requests} == {b"/0", b"/1", b"/2", b"/3", b"/4"}


async def test_a_stall_counts_as_latency_of_all_requests_that_were_due_meanwhile() -> None:
    """With two connections, only 2 of 500 latencies would be long if only requests that were sent were delayed."""
    async with listening(Served(stall=0.3, at=100)) as url:
        outcome = await pace(Order(url, [GET], rate=500, seconds=1.0, connections=2))
    assert outcome.requests == 500
    assert outcome.p99 > 250
    assert outcome.longest >= 290


async def test_a_run_that_stalls_at_its_end_is_not_cut_short() -> None:
    async with listening(Served(stall=0.2, at=90)) as url:
        outcome = await pace(Order(url, [GET], rate=500, seconds=0.2, connections=2))
    assert (outcome.requests, outcome.broken) == (100, 0)


async def test_without_a_rate_a_connection_sends_after_each_answer() -> None:
    served = Served()
    async with listening(served) as url:
        outcome = await pace(Order(url, [GET], rate=0, seconds=0.2, connections=2))
    assert outcome.requests == len(served.requests) > 2
    assert outcome.broken == 0


async def test_refusals_and_lost_connections_are_counted() -> None:
    async with listening(Served(status=503)) as url:
        assert (await pace(Order(url, [GET], rate=100, seconds=0.2, connections=2))).refused == 20
    async with listening(Served(close=5)) as url:
        outcome = await pace(Order(url, [GET], rate=100, seconds=0.2, connections=2))
    assert (outcome.requests, outcome.broken) == (19, 1)


async def test_each_connection_is_warmed_up_and_gets_its_share() -> None:
    """Those that are used first, if one is enough for the rate, are not used again and again."""
    served = Served()
    async with listening(served) as url:
        outcome = await pace(Order(url, [GET], rate=100, seconds=0.3, connections=3))
    assert outcome.requests == len(served.requests) == 30
    assert min(served.connections) >= 1 + 5


async def test_a_client_that_sends_late_reports_it() -> None:
    """The server stalls the client too, because they share an event loop here."""
    async with listening(Served(stall=0.3, at=20)) as url:
        outcome = await pace(Order(url, [GET], rate=100, seconds=0.5, connections=3))
    assert outcome.late_p50 <= outcome.late_p99 <= outcome.longest
    assert outcome.late_p99 >= 280
    assert outcome.cpu > 0


async def test_a_connection_that_is_lost_at_the_end_does_not_prolong_the_run() -> None:
    async with listening(Served(close=20)) as url:
        outcome = await pace(Order(url, [GET], rate=100, seconds=0.2, connections=2))
    assert (outcome.requests, outcome.broken) == (19, 1)
    assert outcome.seconds < LATE_SECONDS


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}{",
    ],
    ids=["in chunks", "until the connection is closed", "with more behind it"],
)
async def test_an_answer_without_a_known_end_is_not_counted(answer: bytes) -> None:
    served = Served()
    async with listening(served) as url:
        run = Run(Order(url, [GET], rate=100, seconds=0.2, connections=2))
        await run.connect()
        served.answer = answer
        outcome = await run.carry_out()
    assert outcome.requests == 0
    assert outcome.broken >= 2


def test_a_percentile_is_the_latency_that_this_share_of_requests_did_not_exceed() -> None:
    latencies = [float(number) for number in range(1, 1001)]
    assert [percentile(latencies, share) for share in (0.5, 0.99, 0.999, 1.0)] == [500, 990, 999, 1000]
    assert percentile([3.0], 0.5) == 3
    assert percentile([], 0.5) == 0


@pytest.mark.parametrize(
    ("received", "length"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Le", 0),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nDate: x\r\n\r\n{", 60),
        (b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", 38),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 27),
    ],
)
def test_the_length_of_an_answer_is_known_from_its_head(received: bytes, length: int) -> None:
    assert whole_length(received) == length


def test_the_service_is_measured_and_a_refused_request_ends_the_run(tmp_path: Path) -> None:
    with ExitStack() as stack:
        system = FastPath(placement([0]), tmp_path)
        system.most_keys = 20  # type: ignore[misc]
        system.start(stack)
        asyncio.run(prepare(system, [MIX]))
        outcome = paced(system, MIX, 200.0, 0.5, 0)
        assert (outcome.requests, outcome.refused, outcome.broken) == (100, 0, 0)
        assert 0 < outcome.p50 <= outcome.p99 <= outcome.p999 <= outcome.longest
        with pytest.raises(Wrong, match="were refused"):
            paced(system, MISSING, 200.0, 0.5, 0)
