"""Records of every kind of all dialects, out of one service and into another one, as clients see them."""

from pathlib import Path

import pytest

from tests.records import RECORDS, Client
from tests.running import Running, polystow


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
