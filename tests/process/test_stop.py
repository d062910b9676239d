"""Tests stopping and starting: no request fails, no process is left, and the exit status shows the reason.

Where a test is about a terminal, signals to several processes, or processes that are left, `start` starts the service
as users start it. `serve` forks it (tests/forking.py), with the same handlers of signals.
"""

import asyncio
import json
import os
import pty
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from aiohttp import ClientSession

from tests.process.test_operations import until
from tests.running import ACCESS, START_SECONDS, Running, eventually, polystow

KEY = {"Authorization": "Bearer ak-1", "Content-Type": "application/json"}
DOCUMENT = "/api/v1/storage/json/stop/one"
PAUSE = 0.01  # seconds after a put and a get


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """A function that starts a service by the command, not by a fork."""
    with ExitStack() as started:
        yield lambda **settings: started.enter_context(Running(forked=False, **settings)).wait_ready()


class Load:
    """Clients that put and get again and again, until `/readyz` is refused, as for a load balancer."""

    def __init__(self, running: Running) -> None:
        self.statuses: dict[int, int] = {}
        self.asked_to_close = 0
        self._running = running
        self._removed = False

    async def run(self) -> None:
        async with ClientSession(headers=KEY) as http:
            await asyncio.gather(self._balance(http), *(self._client(http) for _ in range(16)))

    async def _client(self, http: ClientSession) -> None:
        while not self._removed:
            for method in ("PUT", "GET"):
                data = b'{"a":1}' if method == "PUT" else None
                async with http.request(method, self._running.url + DOCUMENT, data=data) as answer:
                    await answer.read()
                self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
                self.asked_to_close += answer.headers.get("Connection", "").lower() == "close"
            await asyncio.sleep(PAUSE)

    async def _balance(self, http: ClientSession) -> None:
        refused = 0
        while refused < 3:  # as a Kubernetes probe with failureThreshold 3
            async with http.get(self._running.ops_url + "/readyz") as answer:
                refused += answer.status == 503
            await asyncio.sleep(0.1)
        self._removed = True


def ready(running: Running) -> bool:
    try:
        with urlopen(running.ops_url + "/readyz") as answer:
            return bool(answer.status == 200)
    except HTTPError as error:
        error.close()
        return False


@pytest.mark.parametrize("workers", [1, 2])
async def test_no_request_fails_in_a_stop_under_load(start: Callable[..., Running], workers: int) -> None:
    running = start(workers=workers, drain_seconds=60)
    load = Load(running)
    loading = asyncio.create_task(load.run())
    await asyncio.sleep(0.5)
    running.send(signal.SIGTERM)
    await loading
    running.send(signal.SIGTERM)  # what is left of the drain is not waited for
    assert set(load.statuses) == {200}
    assert load.asked_to_close > 0
    assert await asyncio.to_thread(running.ended) == 0


async def test_acknowledged_writes_are_there_after_a_restart(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    running = serve()
    async with http.put(running.url + DOCUMENT, data=b'{"kept":[]}', headers=KEY) as answer:
        assert answer.status == 200
    await asyncio.to_thread(running.restart)
    async with http.get(running.url + DOCUMENT, headers=KEY) as answer:
        assert (answer.status, await answer.read()) == (200, b'{"kept":[]}')


async def test_a_request_in_flight_is_finished_before_the_exit(serve: Callable[..., Running]) -> None:
    running = serve()
    host, port = running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"PUT {DOCUMENT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ak-1\r\nContent-Length: 7\r\n"
    writer.write(head.encode() + b'Expect: 100-continue\r\n\r\n{"a"')
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    running.send(signal.SIGTERM)
    await asyncio.sleep(0.5)
    assert running.process.poll() is None
    writer.write(b":1}")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    assert await asyncio.to_thread(running.ended) == 0


def test_no_process_is_left_after_sigterm(start: Callable[..., Running]) -> None:
    running = start(workers=2)
    pids = [*running.worker_pids(), running.redis_pid()]
    assert running.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_sigint_does_not_wait_for_the_drain(serve: Callable[..., Running]) -> None:
    running = serve(drain_seconds=3600)
    assert running.stop(signal.SIGINT) == 0


def test_a_second_sigterm_ends_the_drain(serve: Callable[..., Running]) -> None:
    running = serve(drain_seconds=3600)
    running.send(signal.SIGTERM)
    eventually(lambda: not ready(running))
    assert running.process.poll() is None
    assert running.stop(signal.SIGTERM) == 0


def test_ctrl_c_in_a_terminal_reaches_only_the_parent_which_stops_all_in_order(
    start: Callable[..., Running],
) -> None:
    running = start(workers=2, drain_seconds=3600)
    os.killpg(running.process.pid, signal.SIGINT)
    assert running.ended() == 0
    assert "died" not in running.log


async def test_closing_the_terminal_drains_the_service(http: ClientSession) -> None:
    """All processes get SIGHUP. Requests are still answered meanwhile, and a second SIGHUP has no effect."""
    terminal, inside = pty.openpty()
    with Running(drain_seconds=3600, terminal=inside) as running:
        os.close(inside)
        running.wait_ready()
        os.close(terminal)
        await until(http, running.ops_url + "/readyz", 503)
        running.send(signal.SIGHUP)
        async with http.put(running.url + DOCUMENT, data=b'{"a":1}', headers=KEY) as answer:
            assert answer.status == 200
        assert running.process.poll() is None
        assert await asyncio.to_thread(running.stop) == 0


def test_an_ignored_sighup_stays_ignored(start: Callable[..., Running]) -> None:
    """`nohup` starts a program with SIGHUP ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        running = start()
    finally:
        signal.signal(signal.SIGHUP, before)
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    assert int(re.search(r"SigIgn:\s+(\w+)", status)[1], 16) & 1  # type: ignore[index]


def test_sigterm_during_the_start_ends_the_service(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        silent.settimeout(START_SECONDS)
        running = Running(redis_url=f"redis://127.0.0.1:{silent.getsockname()[1]}", access="")
        try:
            connection, _ = silent.accept()
            assert running.stop() == 0
            connection.close()
        finally:
            running.close()


@pytest.mark.parametrize("flag", ["--port", "--ops-port"])
def test_a_second_service_on_a_port_is_refused(service: Running, tmp_path: Path, flag: str) -> None:
    url = service.url if flag == "--port" else service.ops_url
    port = url.rpartition(":")[2]
    done = polystow("serve", flag, port, data_dir=tmp_path / "d", port=0, ops_port=0)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in done.stderr


def test_a_second_service_on_a_data_directory_is_refused(service: Running) -> None:
    done = polystow("serve", port=0, ops_port=0, data_dir=service.data_dir)
    assert done.returncode == 1
    assert "is in use by another polystow" in done.stderr


def test_an_unreachable_redis_is_refused_with_a_message(tmp_path: Path) -> None:
    done = polystow("serve", "--redis", f"unix://{tmp_path}/none.sock", port=0, ops_port=0)
    assert done.returncode == 1
    assert "redis: " in json.loads(done.stderr.splitlines()[-1])["message"]


def test_an_unusable_redis_server_is_refused_with_a_message(tmp_path: Path) -> None:
    done = polystow("serve", port=0, ops_port=0, data_dir=tmp_path / "d", redis_server="/nowhere/redis-server")
    assert done.returncode == 1
    assert "/nowhere/redis-server" in json.loads(done.stderr.splitlines()[-1])["message"]


def test_log_lines_are_json_and_contain_no_credential(serve: Callable[..., Running]) -> None:
    running = serve(log_level="debug", access_log=True)
    assert running.stop() == 0
    lines = [json.loads(line) for line in running.log.splitlines()]
    assert lines
    assert all({"time", "level", "logger", "process", "message"} <= set(line) for line in lines)
    for secret in ("ak-1", running.admin_token):
        assert secret not in running.log
    assert ACCESS.exists()
