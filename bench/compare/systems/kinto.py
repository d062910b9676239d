"""Kinto with its memory backend: a storage service in Python for the same purpose.

It runs as `kinto start` runs it (waitress, four threads), without logging, in a virtual environment of its own,
because this project does not need its dependencies. It is made at the first comparison, in `bench/.kinto-venv`.
"""

import base64
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from bench.compare.system import System
from bench.compare.workloads import ITEMS, Kind
from bench.compare.wrk import Request
from bench.documents import document
from bench.processes import ROOT, Child, Unusable, free_port, listening

VENV = ROOT / "bench" / ".kinto-venv"
PINNED = Path(__file__).with_name("kinto.txt")
READY = VENV / "installed.txt"

HEADERS = {
    "Authorization": "Basic " + base64.b64encode(b"bench:bench").decode(),
    "Content-Type": "application/json",
}
CONFIG = """
[server:main]
use = egg:waitress
host = 127.0.0.1
port = {port}
connection_limit = 2000
[app:main]
use = egg:kinto
kinto.storage_backend = kinto.core.storage.memory
kinto.cache_backend = kinto.core.cache.memory
kinto.permission_backend = kinto.core.permission.memory
kinto.userid_hmac_secret = bench
kinto.bucket_create_principals = system.Authenticated
multiauth.policies = basicauth
[loggers]
keys = root
[handlers]
keys = none
[formatters]
keys =
[logger_root]
level = CRITICAL
handlers = none
[handler_none]
class = NullHandler
args = ()
"""


class Kinto(System):
    name = "kinto"
    about = "Kinto with its memory backend, as `kinto start` runs it: one process, waitress"
    everything = False
    most_keys = 1000  # with 10,000 keys, 174 GETs a second instead of 501: its memory backends scan all records

    def start(self, stack: ExitStack) -> None:
        install()
        port = free_port()
        config = self.directory / "kinto.ini"
        config.write_text(CONFIG.format(port=port))
        command = [str(VENV / "bin" / "kinto"), "start", "--ini", str(config), "--quiet"]
        server = stack.enter_context(Child(command, log=self.directory / "log", cores=self.placement.server))
        server.until(lambda: listening(port))
        self.url = f"http://127.0.0.1:{port}"
        self.processes = {"server": [server.pid]}

    def request(self, kind: Kind, place: str, size: int) -> Request | None:
        records = f"/v1/buckets/bench/collections/{place}/records"
        match kind:
            case "get":
                return Request("GET", f"{records}/KEY", HEADERS)
            case "put":
                return Request("PUT", f"{records}/KEY", HEADERS, b'{"data":%b}' % document(size))
            case "patch":
                merge = HEADERS | {"Content-Type": "application/merge-patch+json"}
                return Request("PATCH", f"{records}/KEY", merge, b'{"data":{"count":11}}')
            case "list":
                return Request("GET", f"{records}?_limit={ITEMS}", HEADERS)
            case "missing":
                return Request("GET", f"{records}/absent-KEY", HEADERS)
            case "get-once" | "put-expiring":
                return None

    def setup(self, place: str) -> list[Request]:
        bucket = Request("PUT", "/v1/buckets/bench", HEADERS, b"{}")
        return [bucket, Request("PUT", f"/v1/buckets/bench/collections/{place}", HEADERS, b"{}")]

    def found(self, answer: bytes) -> list[Any]:
        data = orjson.loads(answer)["data"]
        return data if isinstance(data, list) else [data]

    def version(self) -> str:
        return PINNED.read_text().split()[0].partition("==")[2]


def install() -> None:
    """Make the virtual environment, unless it exists with the pinned versions. Raises Unusable."""
    wanted = PINNED.read_text()
    if READY.is_file() and READY.read_text() == wanted:
        return
    commands = (
        [sys.executable, "-m", "venv", "--clear", str(VENV)],
        [str(VENV / "bin" / "pip"), "install", "--quiet", "-r", str(PINNED)],
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Unusable(f"Kinto cannot be installed: {done.stderr[-2000:]}")
    READY.write_text(wanted)
