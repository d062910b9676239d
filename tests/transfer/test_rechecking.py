"""Tests the check at the end of an import: it names the damaged records."""

from pathlib import Path

from service.storage import keys
from tests.records import DOCUMENTS, JSON, RECORDS, Client
from tests.running import Running, polystow

JOURNALED = {"Authorization": "Bearer ak-4"}
AGENT = keys.collection("avaamo", "agents", "8017", "")
JOURNAL = keys.collection("ainoflow", "journaled", "kept", "")


def test_every_kind_of_damage_is_named(service: Running, tmp_path: Path) -> None:
    """All records exist already, so the second import writes nothing, but it checks them."""
    file = str(tmp_path / "all.ndjson")
    for record in RECORDS:
        record.write(Client(service.url))
    Client(service.url).ask("PUT", f"{DOCUMENTS}/followed", JOURNALED | JSON, b"{}")
    assert polystow("export", file, redis_url=f"unix://{service.data_dir}/redis.sock").returncode == 0
    with Running(access="") as other:
        other.wait_ready()
        there = f"unix://{other.data_dir}/redis.sock"
        done = polystow("import", file, redis_url=there)
        assert (done.returncode, "; 0 faults found" in done.stderr) == (0, True), done.stderr
        with other.redis as client:
            chunks = [key for key in client.scan_iter() if (keys.parse(key.decode()) or [""] * 4)[3] == "b:"]
            lost = min(chunk.decode() for chunk in chunks if client.ttl(chunk) == -1)
            client.delete(lost, keys.newest(AGENT))
            client.hincrby(JOURNAL.journal_state, "bytes", 1000)
        done = polystow("import", file, redis_url=there)
        assert done.returncode == 1
        assert f"lacks {lost}" in done.stderr
        assert keys.variables(AGENT) in done.stderr
        assert f"{JOURNAL.journal_state}: counts" in done.stderr
        assert " 0 faults found" not in done.stderr
