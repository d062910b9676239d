"""A redis-server for one measurement, on loopback TCP.

It has no persistence, because the time for writing files would be measured, too.
"""

from pathlib import Path
from typing import Any, cast

import redis

from bench.processes import Child, Unusable, free_port, listening
from service.redis import binary

QUIET = ("--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--maxmemory-policy", "noeviction")


class RedisServer(Child):
    def __init__(self, directory: Path, cores: str = "") -> None:
        self.port = free_port()
        command = [str(server_program()), "--port", str(self.port), "--dir", str(directory), *QUIET]
        super().__init__(command, log=directory / f"redis-{self.port}.log", cores=cores)
        self.until(lambda: listening(self.port))

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> "redis.Redis":
        """Return a client, which the caller must close."""
        return redis.Redis(port=self.port)

    def info(self, section: str) -> dict[str, Any]:
        with self.client() as client:
            return cast("dict[str, Any]", client.info(section))


def server_program() -> Path:
    """Return the redis-server to measure: the one that the service would choose. Raises Unusable."""
    try:
        return binary.find_server()
    except binary.Unusable as error:
        raise Unusable(str(error)) from None
