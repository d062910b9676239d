"""Tests the workers of a running service: they share the port, and a worker that dies is replaced."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from time import monotonic

import pytest
from aiohttp import ClientSession, TCPConnector
from prometheus_client.parser import text_string_to_metric_families

from service.metrics import Meter
from service.operations.exposition import Totals
from service.process import workers
from service.settings import Settings
from tests.raw_http import DOCUMENTS, connected
from tests.running import Running, eventually, soon

KEY = {"Authorization": "Bearer ak-1", "Content-Type": "application/json"}
DOCUMENT = "/api/v1/storage/json/workers/one"


def alone() -> ClientSession:
    """A client that opens a new connection for each request."""
    return ClientSession(connector=TCPConnector(force_close=True, limit=0), headers=KEY)


async def put(http: ClientSession, running: Running, document: str = DOCUMENT) -> int:
    async with http.put(running.url + document, data=b'{"a":1}') as answer:
        await answer.read()
        return answer.status


async def get(http: ClientSession, running: Running) -> int:
    async with http.get(running.url + DOCUMENT) as answer:
        await answer.read()
        return answer.status


async def total(http: ClientSession, running: Running, name: str) -> float:
    """Return the sum of a metric over all labels."""
    async with http.get(running.ops_url + "/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


REQUESTS = "polystow_request_duration_seconds_count"


async def counted(http: ClientSession, running: Running, requests: int) -> None:
    """Wait until that many requests were reported; workers report every second."""

    async def check() -> bool:
        return await total(http, running, REQUESTS) >= requests

    await soon(check)


async def restarted(worker: workers.Worker, times: int) -> None:
    async def check() -> bool:
        return worker.restarts >= times

    await soon(check)


async def test_a_killed_worker_is_replaced_and_no_new_connection_is_refused(
    serve: Callable[..., Running],
) -> None:
    running = serve(workers=1)
    async with alone() as http:
        assert await put(http, running) == 200
        (before,) = running.worker_pids()
        for _ in range(2):
            os.kill(running.worker_pids()[0], signal.SIGKILL)
            # Nobody serves now: these wait in the accept queue for the successor.
            assert await asyncio.gather(*(get(http, running) for _ in range(20))) == [200] * 20
        (after,) = running.worker_pids()
        assert after != before
        assert await total(http, running, "polystow_worker_restarts_total") == 2
    assert '"worker 0 died (signal 9) and is started again in 0.1 s"' in running.log


async def test_both_workers_serve_the_same_port(serve: Callable[..., Running]) -> None:
    running = serve(workers=2)
    first, second = running.worker_pids()
    async with alone() as http:
        for stopped in (first, second):
            os.kill(stopped, signal.SIGSTOP)
            asking = [asyncio.create_task(put(http, running)) for _ in range(64)]
            # The kernel spreads connections by their hash: with one worker stopped, some are answered.
            await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            os.kill(stopped, signal.SIGCONT)
            assert await asyncio.gather(*asking) == [200] * 64


async def test_requests_are_counted_once_and_totals_never_fall_when_a_worker_dies(
    serve: Callable[..., Running],
) -> None:
    running = serve(workers=2)
    async with alone() as http:
        assert await asyncio.gather(*(put(http, running) for _ in range(50))) == [200] * 50
        await counted(http, running, 50)
        for pid in running.worker_pids():
            os.kill(pid, signal.SIGKILL)
            seen = [await total(http, running, REQUESTS) for _ in range(20)]
            assert set(seen) == {50}
        assert await asyncio.gather(*(put(http, running) for _ in range(10))) == [200] * 10
        await counted(http, running, 60)
        assert await total(http, running, REQUESTS) == 60
        assert await total(http, running, "polystow_workers") == 2


async def test_workers_end_when_their_parent_is_killed(serve: Callable[..., Running]) -> None:
    running = serve(workers=2)
    pids = [*running.worker_pids(), running.redis_pid()]
    running.process.kill()
    running.process.wait()
    await asyncio.to_thread(lambda: eventually(lambda: not any(alive(pid) for pid in pids)))


async def test_acknowledged_writes_are_there_after_the_parent_was_killed(serve: Callable[..., Running]) -> None:
    running = serve(workers=2)
    async with connected(running) as wire:
        for number in range(200):
            assert (await wire.ask("PUT", f"{DOCUMENTS}/c/k{number}", b"{}")).status == 200
        running.process.kill()
    running.process.wait()
    with Running(data_dir=running.data_dir) as again:
        await asyncio.to_thread(again.wait_ready)
        async with connected(again) as wire:
            assert {(await wire.ask("GET", f"{DOCUMENTS}/c/k{number}")).status for number in range(200)} == {200}


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"  # a zombie waits for this container's init
    except FileNotFoundError:
        return False


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], workers.Worker]]:
    """A worker whose process runs this Python text instead of the service."""
    listener = socket.socket()

    def make(text: str) -> workers.Worker:
        made = workers.Worker(0, listener, workers.environment(Settings()), Totals(Meter()))

        async def spawn(link_end: socket.socket) -> asyncio.subprocess.Process:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", text.replace("LINK", str(link_end.fileno()))),
                pass_fds=[link_end.fileno()],
                env=workers.environment(Settings()),
            )

        monkeypatch.setattr(made, "_spawn", spawn)
        return made

    yield make
    listener.close()


READY = """
import os, time
from service.process.link import frame
os.write(LINK, frame({"ready": True, "metrics": {}}))
"""


async def test_a_worker_that_cannot_start_the_first_time_fails_the_start(
    worker: Callable[[str], workers.Worker],
) -> None:
    made = worker("raise SystemExit(1)")
    await made.keep()
    with pytest.raises(workers.StartFailed, match="worker 0 could not start"):
        await made.started
    assert made.restarts == 0


async def test_a_worker_that_keeps_dying_is_replaced_more_and_more_slowly(
    worker: Callable[[str], workers.Worker], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "LONGEST_PAUSE", 0.3)
    made = worker(READY + "raise SystemExit(3)")
    keeping = asyncio.create_task(made.keep())
    await restarted(made, 4)
    made.stop()
    await keeping
    pauses = [record.getMessage().rpartition("started again in ")[2] for record in caplog.records]
    assert pauses[:4] == ["0.1 s", "0.2 s", "0.3 s", "0.3 s"]


async def test_a_worker_without_reports_is_not_ready(
    worker: Callable[[str], workers.Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = worker(READY + "time.sleep(60)")
    keeping = asyncio.create_task(made.keep())
    await made.started
    assert made.ready
    monkeypatch.setattr(workers, "monotonic", lambda: monotonic() + workers.SILENT_SECONDS)
    assert not made.ready
    made.stop()
    await keeping


async def test_a_worker_with_malformed_reports_is_killed_and_replaced(
    worker: Callable[[str], workers.Worker],
) -> None:
    made = worker("import os, time; os.write(LINK, b'nonsense' * 9); time.sleep(60)")
    keeping = asyncio.create_task(made.keep())
    await restarted(made, 1)
    made.stop()
    await keeping
