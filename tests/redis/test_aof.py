"""Tests that Redis is not started on a data directory that has lost its append-only file: it would start empty."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from service.redis.binary import Unusable, version_of
from service.redis.embedded import Embedded
from tests.redis.test_embedded import once
from tests.running import soon
from tests.servers import binaries


@pytest.fixture
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a") / "d"  # a short path, because it is that of a socket


@asynccontextmanager
async def embedded(data_dir: Path, binary: Path) -> AsyncIterator[Embedded]:
    server = Embedded(data_dir, server=binary)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def test_a_directory_that_lost_its_files_is_refused_with_a_message(data_dir: Path, binary: Path) -> None:
    async with embedded(data_dir, binary) as server:
        await once(server.url, "SET", "k", "v")
    [log] = [data_dir / name for name in os.listdir(data_dir) if name in ("appendonlydir", "appendonly.aof")]
    log.rename(data_dir / "elsewhere")
    with pytest.raises(
        Unusable, match=r"held data, but its append-only file .* is missing.* would start empty.*backup"
    ):
        await Embedded(data_dir, server=binary).start()
    (data_dir / "elsewhere").rename(log)
    async with embedded(data_dir, binary) as server:
        assert await once(server.url, "GET", "k", write=False) == b"v"


async def test_a_directory_that_lost_its_manifest_is_refused_with_a_message(
    data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Redis is also not started again if the manifest is lost while it runs."""
    newest = max((path for _, path in binaries()), key=lambda path: version_of(path) or (0, 0))
    manifest = data_dir / "appendonlydir" / "appendonly.aof.manifest"
    async with embedded(data_dir, newest) as server:
        await once(server.url, "SET", "k", "v")
        text = manifest.read_bytes()
        manifest.unlink()
        os.kill(server.pid or 0, signal.SIGKILL)
        await soon(lambda: asyncio.sleep(0, "cannot be started" in caplog.text))
        assert server.restarts == 0
    (data_dir / "redis.used").unlink()  # so that only the files show it
    told = (
        r"appendonly\.aof\.1\.incr\.aof, but appendonly\.aof\.manifest, .* is missing.* would start empty.*move .* away"
    )
    with pytest.raises(Unusable, match=told):
        await Embedded(data_dir, server=newest).start()
    manifest.write_bytes(text)
    async with embedded(data_dir, newest) as server:
        assert await once(server.url, "GET", "k", write=False) == b"v"
