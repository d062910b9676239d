"""Records of every kind of all dialects, out of one service and into another one, as clients see them."""

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.records import RECORDS, Client
from tests.running import ROOT, Running, environment, polystow


@pytest.mark.parametrize("name", ["all.ndjson", "all.ndjson.zst"])
def test_every_record_is_answered_as_before(service: Running, tmp_path: Path, name: str) -> None:
    """The other service has no access document: keys, tokens and grants come with the export, and count at once."""
    file = str(tmp_path / name)
    here = f"unix://{service.data_dir}/redis.sock"
    for record in RECORDS:
        record.write(Client(service.url))
    wanted = {record.name: record.read(Client(service.url)) for record in RECORDS}
    done = polystow("export", file, "--with-access", redis_url=here)
    assert done.returncode == 0, done.stderr
    with Running(access="") as other:
        other.wait_ready()
        there = f"unix://{other.data_dir}/redis.sock"
        for _ in range(2):  # a second time everything is there
            done = polystow("import", file, redis_url=there)
            assert done.returncode == 0, done.stderr
            assert "0 different, 0 expired; 0 faults found" in done.stderr
        found = {record.name: record.read(Client(other.url)) for record in RECORDS}
        assert polystow("fsck", redis_url=there).stdout == "0 faults found\n"
    assert found == wanted


def test_an_import_that_is_killed_goes_on(service: Running, tmp_path: Path) -> None:
    """At any moment, again and again; in the end all is there, once, and nothing is left of the attempts."""
    file = str(tmp_path / "all.ndjson")
    for record in RECORDS:
        record.write(Client(service.url))
    wanted = {record.name: record.read(Client(service.url)) for record in RECORDS}
    assert polystow("export", file, "--with-access", redis_url=f"unix://{service.data_dir}/redis.sock").returncode == 0
    chance = Random(11)
    with Running(access="") as other:
        other.wait_ready()
        there = f"unix://{other.data_dir}/redis.sock"
        for _ in range(20):
            command = [sys.executable, "-m", "service", "import", file, "--quiet", "--redis", there]
            started = subprocess.Popen(command, cwd=ROOT, env=environment({}))
            try:
                started.wait(chance.uniform(0.3, 1.0))
            except subprocess.TimeoutExpired:
                started.kill()
            started.wait()
        done = polystow("import", file, redis_url=there)
        assert done.returncode == 0, done.stderr
        assert "0 different" in done.stderr
        assert {record.name: record.read(Client(other.url)) for record in RECORDS} == wanted
        assert polystow("fsck", redis_url=there).stdout == "0 faults found\n"


def test_without_access_no_credential_is_exported(service: Running, tmp_path: Path) -> None:
    """Grants and what they follow from are, so that tokens that are declared there have their permissions."""
    file = tmp_path / "all.ndjson"
    assert polystow("export", str(file), redis_url=f"unix://{service.data_dir}/redis.sock").returncode == 0
    exported = file.read_text()
    assert '"type":"grants"' in exported
    for kind in ("token", "named", "project"):
        assert f'"kind":"{kind}"' not in exported
    assert '"type":"password"' not in exported
