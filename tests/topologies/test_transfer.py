"""Tests that records of all kinds are the same for clients after a transfer into a cluster and back."""

import re
from pathlib import Path

from tests.records import RECORDS, Client
from tests.redis_cluster import RedisCluster
from tests.running import Running, polystow


def read(url: str) -> dict[str, bytes]:
    return {record.name: record.read(Client(url)) for record in RECORDS}


def moved(file: Path, source: str, target: str) -> None:
    done = polystow("export", str(file), "--with-access", redis_url=source)
    assert done.returncode == 0, done.stderr
    for _ in range(2):  # the second time, everything is stored already
        done = polystow("import", str(file), redis_url=target)
        assert done.returncode == 0, done.stderr
        assert re.search(r" 0 different, \d+ expired; 0 faults found", done.stderr), done.stderr
    assert polystow("fsck", redis_url=target).stdout == "0 faults found\n"


def test_files_variables_and_areas_are_imported_into_and_exported_from_a_cluster(
    service: Running, cluster: RedisCluster, tmp_path: Path
) -> None:
    for record in RECORDS:
        record.write(Client(service.url))
    wanted = read(service.url)
    moved(tmp_path / "in.ndjson.zst", f"unix://{service.data_dir}/redis.sock", cluster.url)
    with Running(access="", redis_url=cluster.url) as clustered:
        clustered.wait_ready()
        assert read(clustered.url) == wanted
    with Running(access="") as other:
        other.wait_ready()
        moved(tmp_path / "out.ndjson", cluster.url, f"unix://{other.data_dir}/redis.sock")
        assert read(other.url) == wanted
