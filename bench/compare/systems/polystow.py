"""The service itself, one worker, its fast path on and off."""

from contextlib import ExitStack
from typing import Any, ClassVar

import orjson

from bench.compare.system import System
from bench.compare.workloads import ITEMS, Kind
from bench.compare.wrk import Request
from bench.documents import document
from bench.polystow import KEY, Polystow
from bench.redis_server import RedisServer
from service import __version__

DOCUMENTS = "/api/v1/storage/json"
HEADERS = {"Authorization": f"Bearer {KEY}"}
CHANGE = b'{"count":11}'  # as long as what it replaces, so that a patched document keeps its size


class FastPath(System):
    name = "polystow"
    about = "this service, one worker: authentication, JSON validation, version, expiry, MD5, four indexes"
    settings: ClassVar[dict[str, object]] = {}

    @property
    def cores(self) -> str:
        return self.placement.server

    def start(self, stack: ExitStack) -> None:
        self.redis = stack.enter_context(RedisServer(self.directory, self.placement.redis))
        service = stack.enter_context(Polystow(self.directory, self.cores, redis_url=self.redis.url, **self.settings))
        self.url = service.url
        self.processes = {"server": service.pids(), "redis": [self.redis.pid]}

    def request(self, kind: Kind, place: str, size: int) -> Request | None:
        path = f"{DOCUMENTS}/{place}/KEY"
        match kind:
            case "get":
                return Request("GET", path, HEADERS)
            case "put":
                return Request("PUT", path, HEADERS, document(size))
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
