"""The service under test: `polystow serve`, with callers of each dialect. Genesys needs no credentials."""

import json
import os
import re
import sys
from pathlib import Path

from bench.processes import ROOT, Child, children

KEY = "bench-key"
PROJECT = "bench"
FEW_KEY = "bench-few-key"  # the key of a project of its own, which has few categories
TOKEN = "bench-token"
USER = "UID-bench"
AGENT = 8017
VARIABLES_USER = "bench-user"  # a declared user, whose number is known before it has a variable
VARIABLES_USER_ID = 1
SIGNING_KEY = "bench-signing-key-0123456789abcdef"
ACCESS = {
    "ainoflow": {
        "keys": [
            {"key": KEY, "id": "bench", "project": PROJECT},
            {"key": FEW_KEY, "id": "bench-few", "project": "bench-few"},
        ]
    },
    "auravant": {
        "extensions": [{"client_id": "bench", "versions": ["1"], "claims": ["storage"]}],
        "users": [USER],
        "fields": [{"id": field, "permissions": {USER: "owner"}} for field in (1, 2, 3)],
        "tokens": [{"token": TOKEN, "user": USER, "extension": "bench", "version": "1"}],
    },
    "avaamo": {
        "agents": [{"id": AGENT}],
        "tokens": [{"token": TOKEN, "agents": {str(AGENT): "edit"}}],
        "users": [{"layer_id": VARIABLES_USER, "id": VARIABLES_USER_ID, "display_name": "Bench"}],
    },
}


class Polystow(Child):
    """A running service. `settings` are those of the service, by name; without `redis_url` it has an embedded Redis.

    `checkout` is the directory whose `service` package runs.
    """

    def __init__(self, directory: Path, cores: str = "", *, checkout: Path = ROOT, **settings: object) -> None:
        access = directory / "access.json"
        access.write_text(json.dumps(ACCESS))
        given = {
            "port": 0,
            "ops_port": 0,
            "data_dir": directory / "data",
            "access": access,
            "drain_seconds": 0,
            "signing_key": SIGNING_KEY,
        } | settings
        environment = {name: value for name, value in os.environ.items() if not name.startswith("POLYSTOW_")}
        environment |= {f"POLYSTOW_{name.upper()}": str(value) for name, value in given.items()}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(checkout), os.environ.get("PYTHONPATH"))))
        self.url = ""
        log = directory / "polystow.log"
        command = [sys.executable, "-m", "service", "serve"]
        super().__init__(command, log=log, cores=cores, environment=environment, directory=checkout)
        self.until(self._announced)

    def _announced(self) -> bool:
        found = re.search(r"listening on (\S+) \(operations: ", self.log.read_text(errors="replace"))
        self.url = found[1] if found else ""
        return bool(found)

    def pids(self) -> list[int]:
        """Return the ids of its processes, with the parent and without an embedded Redis."""
        return [self.pid, *self.workers()]

    def workers(self) -> list[int]:
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in children(self.pid)}
        return [pid for pid, command in commands.items() if b"worker" in command]
