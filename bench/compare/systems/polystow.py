"""The service itself, one worker: its fast path on and off, and the service of an earlier checkout."""

import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import orjson

from bench.compare.system import System
from bench.compare.workloads import ITEMS, Kind, Workload
from bench.compare.wrk import Request
from bench.documents import document
from bench.placement import Placement
from bench.polystow import KEY, Polystow
from bench.processes import ROOT
from bench.redis_server import RedisServer
from service import __version__

DOCUMENTS = "/api/v1/storage/json"
HEADERS = {"Authorization": f"Bearer {KEY}"}
LIFETIME_MS = 86_400_000  # of documents that expire
CHANGE = b'{"count":11}'  # as long as the member that it replaces, so that a patched document keeps its size


class FastPath(System):
    name = "polystow"
    about = "this service, one worker: authentication, JSON validation, version, expiry, MD5, four indexes"
    settings: ClassVar[dict[str, object]] = {}
    checkout = ROOT

    @property
    def cores(self) -> str:
        return self.placement.server

    def start(self, stack: ExitStack) -> None:
        self.redis = stack.enter_context(RedisServer(self.directory, self.placement.redis))
        service = stack.enter_context(
            Polystow(self.directory, self.cores, checkout=self.checkout, redis_url=self.redis.url, **self.settings)
        )
        self.url = service.url
        self.processes = {"server": service.pids(), "redis": [self.redis.pid]}

    def request(self, kind: Kind, place: str, size: int) -> Request | None:
        path = f"{DOCUMENTS}/{place}/KEY"
        match kind:
            case "get":
                return Request("GET", path, HEADERS)
            case "get-once":
                return Request("GET", f"{DOCUMENTS}/{place}/0?once=KEY", HEADERS)
            case "put":
                return Request("PUT", path, HEADERS, document(size))
            case "put-expiring":
                return Request("PUT", f"{path}?expiresMs={LIFETIME_MS}", HEADERS, document(size))
            case "patch":
                return Request("PATCH", path, HEADERS, CHANGE)
            case "list":
                return Request("GET", f"{DOCUMENTS}/{place}?limit={ITEMS}", HEADERS)
            case "missing":
                return Request("GET", f"{DOCUMENTS}/{place}/absent-KEY", HEADERS)

    def found(self, answer: bytes) -> list[Any]:
        value = orjson.loads(answer)
        return [item["value"] for item in value] if isinstance(value, list) else [value]

    def version(self) -> str:
        return __version__


class OrdinaryPath(FastPath):
    name = "ordinary path"
    about = "this service with POLYSTOW_FAST_PATH=false: aiohttp's low-level server and its request objects"
    everything = False
    settings: ClassVar[dict[str, object]] = {"fast_path": False}


class CacheOff(FastPath):
    name = "cache off"
    about = "this service with POLYSTOW_READ_CACHE_BYTES=0: every read asks Redis"
    settings: ClassVar[dict[str, object]] = {"read_cache_bytes": 0}

    def knows(self, workload: Workload) -> bool:
        return workload.cached and super().knows(workload)


class Before(FastPath):
    """The service of another checkout, run by the same interpreter."""

    name = "before"
    about = "the service of another checkout, one worker, beside today's"

    def __init__(self, placement: Placement, directory: Path, checkout: Path) -> None:
        super().__init__(placement, directory)
        self.checkout = checkout.resolve()

    def version(self) -> str:
        return commit(self.checkout)


def commit(checkout: Path) -> str:
    """Return the commit of a checkout, with "-dirty" if its files were changed; empty if it is no checkout."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=7", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
