"""The service under test: a real `polystow serve`, with one caller of each dialect."""

import json
import os
import re
import sys
from pathlib import Path

from bench.processes import Child, children

KEY = "bench-key"
PROJECT = "bench"
SIGNING_KEY = "bench-signing-key-0123456789abcdef"
ACCESS = {
    "ainoflow": {"keys": [{"key": KEY, "id": "bench", "project": PROJECT}]},
    "auravant": {
        "extensions": [{"client_id": "bench", "versions": ["1"], "claims": ["storage"]}],
        "users": ["UID-bench"],
        "tokens": [{"token": "bench-token", "user": "UID-bench", "extension": "bench", "version": "1"}],
    },
}


class Polystow(Child):
    """`settings` are the service's own, by name; without `redis_url` it starts its embedded Redis."""

    def __init__(self, directory: Path, cores: str = "", **settings: object) -> None:
        access = directory / "access.json"
        access.write_text(json.dumps(ACCESS))
        given = {
            "port": 0, "ops_port": 0, "data_dir": directory / "data", "access": access, "drain_seconds": 0,
            "signing_key": SIGNING_KEY,
        } | settings  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if not name.startswith("POLYSTOW_")}
        environment |= {f"POLYSTOW_{name.upper()}": str(value) for name, value in given.items()}
        self.url = ""
        log = directory / "polystow.log"
        super().__init__([sys.executable, "-m", "service", "serve"], log=log, cores=cores, environment=environment)
        self.until(self._announced)

    def _announced(self) -> bool:
        found = re.search(r"listening on (\S+) \(operations: ", self.log.read_text(errors="replace"))
        self.url = found[1] if found else ""
        return bool(found)

    def pids(self) -> list[int]:
        """Its processes, the supervising parent among them, without an embedded Redis."""
        return [self.pid, *self.workers()]

    def workers(self) -> list[int]:
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in children(self.pid)}
        return [pid for pid, command in commands.items() if b"worker" in command]
