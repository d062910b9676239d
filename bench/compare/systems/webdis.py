"""Webdis: HTTP in front of Redis, written in C. It does not interpret the data that it stores and authenticates nobody.

Its `.txt` output is used: the bytes of the value, with their MD5 as ETag, like the answers of this service. Its JSON
output would escape them. It has one thread, because it has one core. It has no PATCH; a SET is measured instead,
because a client would have to merge the document itself and then send it as a whole.
"""

import json
from contextlib import ExitStack

from bench.compare.system import System
from bench.compare.workloads import Kind
from bench.compare.wrk import Request
from bench.documents import document
from bench.processes import Child, free_port, listening
from bench.redis_server import RedisServer


class Webdis(System):
    name = "webdis"
    about = "Webdis, one thread: Redis's GET and SET over HTTP, and no more (SET also stands in for PATCH)"

    def start(self, stack: ExitStack) -> None:
        redis = stack.enter_context(RedisServer(self.directory, self.placement.redis))
        port = free_port()
        config = self.directory / "webdis.json"
        settings = {
            "redis_host": "127.0.0.1",
            "redis_port": redis.port,
            "redis_auth": None,
            "database": 0,
            "http_host": "127.0.0.1",
            "http_port": port,
            "threads": 1,
            "pool_size": 20,
            "daemonize": False,
            "websockets": False,
            "acl": [],
            "verbosity": 0,
            "logfile": str(self.directory / "webdis.log"),
        }
        config.write_text(json.dumps(settings))
        server = stack.enter_context(
            Child(["webdis", str(config)], log=self.directory / "log", cores=self.placement.server)
        )
        server.until(lambda: listening(port))
        self.url = f"http://127.0.0.1:{port}"
        self.processes = {"server": [server.pid], "redis": [redis.pid]}

    def request(self, kind: Kind, place: str, size: int) -> Request | None:
        match kind:
            case "get":
                return Request("GET", f"/GET/{place}-KEY.txt")
            case "put" | "patch":
                return Request("PUT", f"/SET/{place}-KEY.txt", body=document(size))
            case "missing":
                return Request("GET", f"/GET/{place}-absent-KEY.txt")
            case "get-once" | "list" | "put-expiring":
                return None
