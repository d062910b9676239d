"""Tests copies from one Redis into another, in every topology that the service supports."""

import filecmp
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.storage.root import Storage
from tests.redis_cluster import RedisCluster
from tests.redis_sentinel import SentinelSet
from tests.running import ROOT, Running, command, polystow
from tests.servers import RedisProcess, binaries
from tests.transfer.stores import contents
from tests.transfer.test_documents import alive, fill


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with RedisCluster(binaries()[0][1]) as started:
        yield started


async def test_a_copy_is_equal_to_its_source(storage: Storage, source: RedisProcess, target: RedisProcess) -> None:
    await fill(storage)
    for _ in range(2):  # the second time, everything is stored already
        done = polystow("copy", "--from", source.url, "--to", target.url, "--quiet")
        assert (done.returncode, done.stderr) == (0, "")
        assert alive(target) == alive(source)


async def test_a_copy_goes_into_a_cluster_and_back(
    storage: Storage, source: RedisProcess, target: RedisProcess, cluster: RedisCluster
) -> None:
    for node in cluster.primaries:
        node.command("FLUSHALL")
    await fill(storage)
    assert polystow("copy", "--from", source.url, "--to", cluster.url).returncode == 0
    assert polystow("fsck", redis_url=cluster.url).stdout == "0 faults found\n"
    assert polystow("copy", "--from", cluster.url, "--to", target.url).returncode == 0
    assert alive(target) == alive(source)


async def test_a_copy_goes_through_sentinels(storage: Storage, source: RedisProcess, target: RedisProcess) -> None:
    await fill(storage)
    with SentinelSet(binaries()[0][1]) as sentinels:
        assert polystow("copy", "--from", source.url, "--to", sentinels.url).returncode == 0
        assert polystow("copy", "--from", sentinels.url, "--to", target.url).returncode == 0
    assert alive(target) == alive(source)


async def test_a_copy_goes_into_a_data_directory(storage: Storage, source: RedisProcess, tmp_path: Path) -> None:
    """The directory is that of a running service, or that of a stopped one."""
    await fill(storage)
    names = [str(tmp_path / name) for name in ("all.ndjson.zst", "second.ndjson", "third.ndjson")]
    assert polystow("export", names[0], redis_url=source.url).returncode == 0
    with Running() as running:
        running.wait_ready()
        assert polystow("import", names[0], data_dir=running.data_dir).returncode == 0
        running.stop()
        done = polystow("export", names[1], "--project", "acme", data_dir=running.data_dir)
        assert done.returncode == 0, done.stderr
    assert polystow("export", names[2], "--project", "acme", redis_url=source.url).returncode == 0
    assert filecmp.cmp(names[1], names[2], shallow=False)


def test_nothing_is_written_when_the_source_is_unreachable(target: RedisProcess) -> None:
    done = polystow("copy", "--from", "unix:///nowhere/redis.sock", "--to", target.url, "--quiet")
    assert done.returncode == 1
    assert "polystow: the export ended early: it is empty" in done.stderr
    assert contents(target) == {}


def test_wrong_arguments_are_refused_with_status_2(target: RedisProcess) -> None:
    for source in ("nonsense", target.url):
        assert polystow("copy", "--from", source, "--to", target.url).returncode == 2
    assert polystow("export", "file.zip", redis_url=target.url).returncode == 2
    assert polystow("import", "/nowhere/file.ndjson", redis_url=target.url).returncode == 2


def test_the_commands_of_the_page_work(source: RedisProcess, target: RedisProcess, tmp_path: Path) -> None:
    """Run the commands at the page's beginning, with these servers and this folder. The copy runs as users run it."""
    beginning = (ROOT / "docs" / "transfer.md").read_text().partition("\n## ")[0]
    commands = [line.split()[1:] for line in beginning.splitlines() if line.startswith("    polystow ")]
    assert [words[0] for words in commands] == ["export", "import", "copy"]
    named = {"redis://old:6379": source.url, "redis+cluster://new:6379": target.url}
    named["backup.ndjson.zst"] = str(tmp_path / "backup.ndjson.zst")
    for words in commands:
        run = command if words[0] == "copy" else polystow
        done = run(*(named.get(word, word) for word in words), redis_url=source.url)
        assert done.returncode == 0, done.stderr
