"""Tests the recipe of docs/transfer.md that moves a whole installation to a new Redis."""

import filecmp
import json
import re
import subprocess
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from tests.records import JSON, KEY, RECORDS, Client
from tests.running import ROOT, Running, polystow
from tests.servers import RedisProcess

CATEGORY = "/api/v1/storage/json/moved/"


def recipe() -> list[list[str]]:
    """Return the commands of the recipe, in their order."""
    section = (ROOT / "docs" / "transfer.md").read_text().partition("## Move to a new Redis\n")[2].partition("\n## ")[0]
    return [line.split()[1:] for line in re.findall(r"^       (polystow .+)$", section, re.MULTILINE)]


def carried_out(words: list[str], source: RedisProcess, target: RedisProcess) -> subprocess.CompletedProcess[str]:
    """Run a command of the recipe with these servers."""
    named = {"redis://old:6379": source.url, "redis://new:6379": target.url}
    return polystow(*(named.get(word, word) for word in words))


def store(url: str, name: str, idempotency: str, **headers: str) -> tuple[int, int]:
    """Store a document, and return the status of the answer and the version, 0 if it was refused."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    sent = KEY | JSON | {"Idempotency-Key": idempotency} | {k.replace("_", "-"): v for k, v in headers.items()}
    connection.request("PUT", CATEGORY + name, b'{"n": 1}', sent)
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    return answer.status, said.get("version", 0)


def stored(url: str) -> dict[str, bytes]:
    """Return what clients read of each record."""
    return {record.name: record.read(Client(url)) for record in RECORDS}


def test_the_recipe_moves_everything_and_both_stores_compare_equal(
    source: RedisProcess, target: RedisProcess, tmp_path: Path
) -> None:
    """A request that is repeated after the move, with its key, is carried out again unless a condition forbids it."""
    with Running(redis_url=source.url) as service:
        service.wait_ready()
        for record in RECORDS:
            record.write(Client(service.url))
        wanted = stored(service.url)
        for _ in range(2):
            assert store(service.url, "any", "key-1") == (200, 1)
            assert store(service.url, "new", "key-2", If_None_Match="*") == (200, 1)
        metadata = [Client(service.url).ask("GET", f"{CATEGORY}{name}/meta", KEY) for name in ("any", "new")]
    commands = recipe()
    assert [words[0] for words in commands] == ["fsck", "copy", "fsck", "copy"]
    done = [carried_out(words, source, target) for words in commands]
    assert [each.returncode for each in done] == [0, 0, 0, 0], [each.stderr for each in done]
    assert re.search(r"imported: 0 stored, [0-9]+ present, 0 different", done[-1].stderr), done[-1].stderr
    old, new = tmp_path / "old.ndjson", tmp_path / "new.ndjson"
    for file, server in ((old, source), (new, target)):
        assert polystow("export", str(file), "--dialect", "ainoflow", redis_url=server.url).returncode == 0
    assert filecmp.cmp(old, new, shallow=False)
    with Running(redis_url=target.url, access="") as service:
        service.wait_ready()
        assert stored(service.url) == wanted
        assert [Client(service.url).ask("GET", f"{CATEGORY}{name}/meta", KEY) for name in ("any", "new")] == metadata
        assert store(service.url, "any", "key-1") == (200, 2)
        assert store(service.url, "new", "key-2", If_None_Match="*") == (412, 0)
        Client(service.url).ask("DELETE", CATEGORY + "new", KEY)
    again = carried_out(commands[-1], source, target)  # the comparison shows what has changed at the target
    assert again.returncode == 1
    assert re.search(r"imported: 1 stored, [0-9]+ present, 1 different", again.stderr), again.stderr
