"""Tests the transfer of every kind of record from one service into another, as clients see it."""

import subprocess
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from tests.records import RECORDS, Client
from tests.running import Running, polystow
from tests.transfer import everything


@pytest.mark.parametrize("name", ["all.ndjson", "all.ndjson.zst"])
def test_every_record_is_read_as_before(tmp_path: Path, name: str) -> None:
    """The other service has no access document: keys, tokens and grants are in the export, and count at once."""
    assert everything.moved(400, 6, name, tmp_path) == []


def test_differences_are_named() -> None:
    answer = b"HTTP/1.1 200 OK\r\nDate: now\r\nETag: a\r\nX-Request-Id: b\r\n\r\n"
    other = b"HTTP/1.1 200 OK\r\nETag: a\r\nDate: later\r\nX-Request-Id: c\r\n\r\n"
    first, second = b'{"url":"http://127.0.0.1:1/a","b":1}', b'{"url":"http://127.0.0.1:2/b","b":1}'
    assert everything.seen(answer + first) == everything.seen(other + second)
    changed = answer.replace(b"ETag: a", b"ETag: b"), answer.replace(b"200 OK", b"201 Created")
    digests = {everything.seen(each) for each in (answer, answer + first, *changed)}
    assert len(digests) == 4
    assert everything.differences({"a": b"1", "b": b"1", "c": b"1"}, {"a": b"1", "b": b"2", "d": b"1"}) == [
        "b",
        "c",
        "d",
    ]
    before = {"same": 5000, "shifted": 5000, "kept": -1, "gone": -1, "near": 5000}
    after = {"same": 5000, "shifted": 6001, "kept": 1, "new": -1, "near": 6000}
    assert everything.later(before, after) == ["gone", "kept", "new", "shifted"]


def test_a_killed_import_can_be_repeated(service: Running, tmp_path: Path) -> None:
    """The import is killed at any moment, several times. At the end each record exists once."""
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
            with suppress(subprocess.TimeoutExpired):
                polystow("import", file, "--quiet", timeout=chance.uniform(0.02, 0.3), redis_url=there)
        done = polystow("import", file, redis_url=there)
        assert done.returncode == 0, done.stderr
        assert "0 different" in done.stderr
        assert {record.name: record.read(Client(other.url)) for record in RECORDS} == wanted
        assert polystow("fsck", redis_url=there).stdout == "0 faults found\n"


def test_without_access_no_credential_is_exported(service: Running, tmp_path: Path) -> None:
    """Grants and their declared entries are exported, so tokens declared at the target have permissions."""
    file = tmp_path / "all.ndjson"
    assert polystow("export", str(file), redis_url=f"unix://{service.data_dir}/redis.sock").returncode == 0
    exported = file.read_text()
    assert '"type":"grants"' in exported
    for kind in ("token", "named", "project"):
        assert f'"kind":"{kind}"' not in exported
    assert '"type":"password"' not in exported
