"""Redis nodes that are started by the overlays' own `start.sh`, each in a directory of its own, on a reserved port.

Invariant: when the `with` block of a Node has ended, no process and no file of it is left.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from tests.ports import Reserved
from tests.servers import START_SECONDS

PASSWORD = "a3f1c2"


class Node:
    """One node. `etc` is the pod's /etc/redis; `data` is its volume."""

    def __init__(self, binary: Path, *folders: Path) -> None:
        self.password = PASSWORD
        self._reserved = Reserved(bus=True)
        self._root = Path(tempfile.mkdtemp(prefix="node-"))
        self.etc, self._data = self._root / "etc", self._root / "data"
        self._data.mkdir()
        self.etc.mkdir()
        for folder in folders:
            for path in folder.iterdir():
                if path.suffix in (".conf", ".sh"):
                    shutil.copy(path, self.etc)
        (self._root / "bin").mkdir()
        (self._root / "bin" / "redis-server").symlink_to(binary)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def port(self) -> int:
        return self._reserved.port

    @property
    def name(self) -> str:
        """The name of the node in the scripts."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of the container."""
        path = f"{self._root / 'bin'}:{os.environ['PATH']}"
        given = {"REDIS_PASSWORD": PASSWORD, "REDISCLI_AUTH": PASSWORD, "POD_IP": "127.0.0.1", "NODE": self.name}
        return {"PATH": path} | given | more

    def start(self) -> None:
        """Start the node on its files and its port."""
        conf = self.etc / "redis.conf"
        lines = conf.read_text().splitlines()
        here = {"port": str(self.port), "dir": str(self._data), "bind": "127.0.0.1"}
        kept = [line for line in lines if line.split(" ")[0] not in here]
        conf.write_text("\n".join([*kept, *(f"{name} {value}" for name, value in here.items()), ""]))
        with (self._root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", self.etc / "start.sh"], env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait(self) -> None:
        """Wait until the node answers. Fail with its log if it ends instead."""
        deadline = time.monotonic() + START_SECONDS
        while self.ask("ping") != "PONG":
            assert self._process is not None
            assert self._process.poll() is None, (self._root / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def ask(self, *command: str) -> str:
        """Run one command with redis-cli, and return its reply as text."""
        done = subprocess.run(
            ["redis-cli", *([] if command[0] == "--cluster" else ["-p", str(self.port)]), *command],
            env=self.environment(),
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def config(self, name: str) -> str:
        """Return the present value of a setting, as the server writes it."""
        return self.ask("config", "get", name).partition("\n")[2]

    def run(self, script: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run one of the scripts as the pod runs it."""
        return subprocess.run(
            ["sh", self.etc / script], env=self.environment(**more), capture_output=True, text=True, timeout=60
        )

    def backup(self) -> bytes:
        """Return the node's log as an archive, made as README.md says."""
        assert self.ask("config", "set", "auto-aof-rewrite-percentage", "0") == "OK"
        assert "aof_rewrite_in_progress:0" in self.ask("info", "persistence")
        command = "cd data && tar -cf - append*"
        return subprocess.run(["sh", "-c", command], cwd=self._root, check=True, capture_output=True).stdout

    def restore(self, backup: bytes) -> None:
        """Replace the files of the node with those of a backup."""
        self.kill()
        self.wipe()
        subprocess.run(["tar", "-C", self._data, "-xf", "-"], input=backup, check=True)
        self.start()
        self.wait()

    def wipe(self) -> None:
        """Delete everything on the volume."""
        shutil.rmtree(self._data)
        self._data.mkdir()

    def kill(self) -> None:
        """Send SIGKILL, and wait for the end."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def restart(self, *, elsewhere: bool = False) -> None:
        """Kill the node and start it again; with `elsewhere` at another port, which simulates a new address."""
        self.kill()
        if elsewhere:
            self._reserved.close()
            self._reserved = Reserved(bus=True)
        self.start()
        self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._reserved.close()
        shutil.rmtree(self._root, ignore_errors=True)
