"""Tests a disk that fills up while Redis writes a file that a rewrite has begun: no acknowledged write is lost.

A limit for the size of Redis's files simulates a full disk: the command that exceeds it is written partially.
"""

import asyncio
import itertools
import os
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from service.redis import rewriting
from service.redis.aof import listed
from service.redis.binary import Unusable
from service.redis.client import Redis
from service.redis.embedded import Embedded, answers
from service.redis.rewriting import look
from tests.redis.test_embedded import once
from tests.running import soon

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
PART = 77  # bytes of a command that are written before the disk is full
NEVER = 1e9  # seconds


@pytest.fixture
async def embedded(tmp_path_factory: pytest.TempPathFactory, binary: Path) -> AsyncIterator[Embedded]:
    server = Embedded(tmp_path_factory.mktemp("d"), server=binary)
    yield server
    await server.stop()


async def get(embedded: Embedded, *keys: str) -> list[Any]:
    return [await once(embedded.url, "GET", key, write=False) for key in keys]


async def says(embedded: Embedded, **wanted: str) -> None:
    """Wait until `INFO` has this value for the append-only file."""

    async def check() -> bool:
        state, _ = await looked(embedded)
        return state.items() >= wanted.items()

    await soon(check)


async def looked(embedded: Embedded) -> tuple[dict[str, str], int]:
    """Wait until the files do not change any more and Redis answers: a rewrite ends with the removal of files."""
    while True:
        with suppress(OSError):
            return await look(embedded.data_dir, embedded.data_dir / "redis.sock")
        await asyncio.sleep(0.01)


async def rewrite(embedded: Embedded) -> None:
    await once(embedded.url, "BGREWRITEAOF")
    await says(embedded, aof_rewrites="1", aof_rewrite_in_progress="0", aof_last_bgrewrite_status="ok")


async def fill_and_free(embedded: Embedded, key: str) -> None:
    """Make a write of which only PART bytes are written at first, and another one when the disk has space again."""
    newest = listed(embedded.data_dir, "i")[-1]
    limit = newest.stat().st_size + PART
    resource.prlimit(embedded.pid or 0, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    assert await once(embedded.url, "SET", key, "v" * 300) == b"OK"
    await says(embedded, aof_last_write_status="err")
    resource.prlimit(embedded.pid or 0, resource.RLIMIT_FSIZE, UNLIMITED)
    await says(embedded, aof_last_write_status="ok")
    assert await once(embedded.url, "SET", f"after {key}", "w") == b"OK"


def gaps(embedded: Embedded) -> int:
    return sum(path.read_bytes().count(bytes(PART)) for path in listed(embedded.data_dir, "i"))


async def kill(embedded: Embedded) -> None:
    """Kill Redis with SIGKILL, and wait until it answers again."""
    os.kill(embedded.pid or 0, signal.SIGKILL)
    await soon(lambda: asyncio.sleep(0, embedded.restarts > 0))
    await soon(lambda: answers(embedded.data_dir / "redis.sock"))


async def test_a_gap_that_a_full_disk_left_is_repaired_when_redis_is_started(
    embedded: Embedded, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rewriting, "PAUSE", NEVER)
    await embedded.start(20)
    await rewrite(embedded)
    await once(embedded.url, "SET", "before", "u")
    await fill_and_free(embedded, "met")
    await embedded.stop()
    assert gaps(embedded) == 1
    await embedded.start(20)
    assert await get(embedded, "before", "met", "after met") == [b"u", b"v" * 300, b"w"]
    assert gaps(embedded) == 0
    assert f"{PART} NUL bytes at offset" in caplog.text
    assert len(list(embedded.data_dir.glob("appendonlydir/*.damaged-1"))) == 1


async def test_a_gap_is_repaired_when_redis_is_started_again_after_it_died(
    embedded: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gap is in a file before the last one if the rewrite after it has failed."""
    monkeypatch.setattr(rewriting, "PAUSE", NEVER)
    await embedded.start(20)
    await once(embedded.url, "SET", "large", os.urandom(5000).hex())
    await rewrite(embedded)
    await fill_and_free(embedded, "met")
    resource.prlimit(embedded.pid or 0, resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))
    await once(embedded.url, "BGREWRITEAOF")
    await says(embedded, aof_rewrites="2", aof_rewrite_in_progress="0", aof_last_bgrewrite_status="err")
    resource.prlimit(embedded.pid or 0, resource.RLIMIT_FSIZE, UNLIMITED)
    assert len(listed(embedded.data_dir, "i")) == 2
    assert gaps(embedded) == 1
    await kill(embedded)
    assert await get(embedded, "met", "after met") == [b"v" * 300, b"w"]
    assert gaps(embedded) == 0


async def test_a_disk_that_is_full_twice_loses_nothing(embedded: Embedded) -> None:
    """A rewrite removes the gap before Redis can cut off what is behind it."""
    await embedded.start(20)
    await rewrite(embedded)
    await fill_and_free(embedded, "first")
    await says(embedded, aof_rewrites="2", aof_rewrite_in_progress="0", aof_last_bgrewrite_status="ok")
    assert gaps(embedded) == 0
    await fill_and_free(embedded, "second")
    await kill(embedded)
    assert await get(embedded, "first", "after first", "second", "after second") == [b"v" * 300, b"w"] * 2


async def test_a_file_that_redis_cut_off_is_unchanged_and_reported(
    embedded: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This would happen without the rewrite after the first gap."""
    monkeypatch.setattr(rewriting, "PAUSE", NEVER)
    await embedded.start(20)
    await rewrite(embedded)
    await fill_and_free(embedded, "first")
    await fill_and_free(embedded, "second")
    await embedded.stop()
    [damaged] = listed(embedded.data_dir, "i")
    content = damaged.read_bytes()
    with pytest.raises(Unusable, match=r"is damaged at offset \d+: .* No file was changed.*backup.*redis-check-aof"):
        await embedded.start(20)
    assert damaged.read_bytes() == content


async def test_rewrites_and_writes_are_never_mistaken_for_a_gap(
    embedded: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting, "PAUSE", NEVER)
    await embedded.start(20)
    rewrites = 0
    client = Redis.open(embedded.url)
    await client.connect()

    async def write() -> None:
        for number in itertools.count():
            await client.execute("SET", f"k{number % 100}", os.urandom(500), key="", write=True)

    writing = asyncio.create_task(write())
    try:
        while rewrites < 10:
            state, gap = await looked(embedded)
            assert gap <= 0
            if state["aof_rewrite_in_progress"] == "0":
                await client.execute("BGREWRITEAOF", key="", write=True)
                rewrites += 1
    finally:
        writing.cancel()
        await client.close()
