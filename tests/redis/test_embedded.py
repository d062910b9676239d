"""Tests that the embedded Redis is started, supervised and stopped, and never runs twice on one directory."""

import asyncio
import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from service.redis import syncing
from service.redis.binary import Unusable
from service.redis.client import Redis
from service.redis.embedded import Embedded, running
from tests.running import soon
from tests.slow_disk import library

# These tests run only on the event loop of the service; the other one would take 10 s more.
pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])


@pytest.fixture
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # The path is short, has a space and a character outside of ASCII, and does not exist yet.
    return tmp_path_factory.mktemp("e") / "dätä dir"


Start = Callable[..., Any]


@pytest.fixture
async def start(data_dir: Path, binary: Path) -> AsyncIterator[Start]:
    """A function that starts an embedded server on the data directory. All are stopped after the test."""
    started: list[Embedded] = []

    async def start(**settings: Any) -> Embedded:
        embedded = Embedded(data_dir, **{"server": binary, **settings})
        started.append(embedded)
        await embedded.start(20)
        return embedded

    yield start
    for embedded in started:
        await embedded.stop()


async def once(url: str, *args: str | int, write: bool = True) -> Any:
    """Run one command on a connection of its own, and return its reply."""
    client = Redis.open(url)
    await client.connect()
    try:
        return await client.execute(*args, key="", write=write)
    finally:
        await client.close()


async def test_the_embedded_redis_has_a_private_socket_and_keeps_its_data_over_a_restart(
    start: Start, data_dir: Path
) -> None:
    assert running(data_dir) is None
    embedded = await start()
    assert running(data_dir) == embedded.url
    assert await once(embedded.url, "SET", "k", "v") == b"OK"
    await embedded.stop()
    assert running(data_dir) is None
    assert embedded.pid is None
    again = await start()
    assert await once(again.url, "GET", "k", write=False) == b"v"


async def test_files_of_the_embedded_redis_are_readable_by_their_owner_only(start: Start, data_dir: Path) -> None:
    os.mkdir(data_dir, mode=0o755)
    embedded = await start()
    await once(embedded.url, "SET", "k", "v")
    assert open_to_others(data_dir) == []


def open_to_others(data_dir: Path) -> list[Path]:
    return [path for path in [data_dir, *data_dir.rglob("*")] if stat.S_IMODE(path.stat().st_mode) & 0o077]


@pytest.mark.parametrize("appendfsync", ["everysec", "always"])
async def test_the_embedded_redis_is_configured_to_keep_data(start: Start, appendfsync: str) -> None:
    embedded = await start(appendfsync=appendfsync)
    expected = {
        "appendonly": "yes",
        "appendfsync": "always" if appendfsync == "always" else "no",
        "maxmemory-policy": "noeviction",
        "save": "",
        "port": "0",
        "lazyfree-lazy-expire": "yes",
        "lazyfree-lazy-server-del": "yes",
        "lazyfree-lazy-user-del": "yes",
    }
    for name, value in expected.items():
        assert await once(embedded.url, "CONFIG", "GET", name, write=False) == [name.encode(), value.encode()]


async def test_a_killed_redis_is_started_again_on_its_files_and_callers_only_wait(start: Start) -> None:
    embedded = await start()
    client = Redis.open(embedded.url)
    await client.connect()
    for number in range(1, 51):
        assert await client.execute("INCR", "n", key="n", write=True) == number
    killed = embedded.pid
    os.kill(killed, signal.SIGKILL)
    assert await client.execute("GET", "n", key="n", write=False) == b"50"
    assert embedded.pid != killed
    assert embedded.restarts == 1
    await client.close()


async def test_acknowledged_writes_survive_kill_9_while_the_disk_is_slow(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Redis's own `everysec`, writes wait in memory while a sync runs, so hundreds would be lost here."""
    monkeypatch.setenv("LD_PRELOAD", str(library()))
    embedded = await start()
    client = Redis.open(embedded.url)
    await client.connect()
    end, number = monotonic() + 1.5, 0
    while monotonic() < end:
        number = await client.execute("INCR", "n", key="n", write=True)
    os.kill(embedded.pid, signal.SIGKILL)
    assert int(await client.execute("GET", "n", key="n", write=False)) == number
    await client.close()


def logs(data_dir: Path) -> set[str]:
    return {str(path) for path in data_dir.resolve().rglob("*.aof")}


async def test_everysec_syncs_the_file_each_second(
    start: Start, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[str] = []
    monkeypatch.setattr(syncing, "PAUSE", 0.01)
    monkeypatch.setattr(syncing, "_force", lambda file: forced.append(os.readlink(f"/proc/self/fd/{file}")))
    await start()
    written = logs(data_dir)
    await soon(lambda: asyncio.sleep(0, bool(written) and written <= set(forced)))


async def test_a_failing_sync_is_logged_and_repeated(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(file: int) -> None:
        raise OSError("broken")

    monkeypatch.setattr(syncing, "PAUSE", 0.01)
    monkeypatch.setattr(syncing, "_force", fail)
    await start()
    await soon(lambda: asyncio.sleep(0, caplog.text.count("cannot be synced to disk: broken") > 1))


async def test_a_redis_that_outlives_its_parent_is_waited_for(
    start: Start, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded = await start()
    await embedded.stop()
    with (data_dir / "redis.lock").open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        waiting = asyncio.create_task(start())
        await asyncio.sleep(0.1)
        assert not waiting.done()
    await waiting
    monkeypatch.setattr("service.redis.embedded.STOP_SECONDS", 0.1)
    embedded = await waiting
    await embedded.stop()
    with (data_dir / "redis.lock").open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Unusable, match="a Redis still runs"):
            await start()
    await start()


async def test_a_second_start_on_the_same_directory_is_refused_at_once(start: Start, data_dir: Path) -> None:
    embedded = await start()
    with pytest.raises(Unusable, match=f"in use by another polystow \\(process {os.getpid()}\\)"):
        await start()
    assert await once(embedded.url, "PING") == b"PONG"


async def test_redis_starts_with_an_incomplete_end_of_its_file(start: Start, data_dir: Path) -> None:
    embedded = await start()
    await once(embedded.url, "SET", "k", "v")
    await embedded.stop()
    with newest_file(data_dir).open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\nhal")
    again = await start()
    assert await once(again.url, "GET", "k", write=False) == b"v"


async def test_a_damaged_file_is_reported_with_the_message_of_redis(start: Start, data_dir: Path) -> None:
    embedded = await start()
    await once(embedded.url, "SET", "k", "v")
    await embedded.stop()
    path = newest_file(data_dir)
    path.write_bytes(b"nonsense\r\n" + path.read_bytes())
    with pytest.raises(Unusable, match=r"(?s)ended at its start; it logged:.*Bad file format"):
        await start()
    assert running(data_dir) is None


def newest_file(data_dir: Path) -> Path:
    """Return the file that Redis appends to; Redis 7 has several files in a directory."""
    [path] = [*data_dir.glob("appendonlydir/*.incr.aof"), *data_dir.glob("appendonly.aof")]
    return path


def log_of(data_dir: Path) -> str:
    return (data_dir / "redis.log").read_text()


PARENT = """
import asyncio, sys
from pathlib import Path
from service.redis.embedded import Embedded
async def main():
    embedded = Embedded(Path(sys.argv[1]), server=sys.argv[2])
    await embedded.start()
    print(embedded.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_when_the_parent_is_killed_redis_saves_and_ends_and_the_directory_is_free(
    start: Start, data_dir: Path, binary: Path
) -> None:
    command = [sys.executable, "-c", PARENT, str(data_dir), str(binary)]
    parent = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    url = running(data_dir)
    assert url is not None
    await once(url, "SET", "k", "v")
    with pytest.raises(Unusable, match=f"process {parent.pid}"):
        await start()
    parent.kill()
    await parent.wait()
    embedded = await start()
    assert embedded.pid != child
    assert await once(embedded.url, "GET", "k", write=False) == b"v"
    assert "Received SIGTERM" in log_of(data_dir)


async def test_a_path_too_long_for_a_socket_is_refused_with_a_message(binary: Path, tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="longer than the 103 bytes"):
        await Embedded(tmp_path / ("x" * 100), server=binary).start()
    assert not (tmp_path / ("x" * 100)).exists()


async def test_a_directory_that_cannot_be_created_is_refused_with_a_message(binary: Path, data_dir: Path) -> None:
    with pytest.raises(Unusable, match="cannot be created"):
        await Embedded(Path("/dev/null/data"), server=binary).start()
