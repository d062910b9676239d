"""A primary, two replicas and three sentinels for tests, all of them real processes.

Invariant: when the `with` block of a SentinelSet has ended, no process and no file of it is left.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Self
from urllib.parse import quote

from tests.running import eventually
from tests.servers import Certificates, RedisProcess

SERVICE = "main"
DOWN_AFTER = 1.0  # seconds without an answer, after which a sentinel considers the primary dead
QUORUM = 2


class SentinelProcess(RedisProcess):
    """One sentinel. It has a configuration file, because it writes the state of the servers there."""

    def __init__(self, path: Path, primary: RedisProcess, tls: Certificates | None, password: str) -> None:
        config = ("--sentinel", *(("--tls-replication", "yes") if tls else ()))
        super().__init__(path, *config, tcp=not tls, tls=tls, password=password)
        lines = [
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} {QUORUM}",
            f"sentinel down-after-milliseconds {SERVICE} {round(DOWN_AFTER * 1000)}",
            f"sentinel failover-timeout {SERVICE} 1000",
        ]
        if primary.password:
            lines.append(f'sentinel auth-pass {SERVICE} "{primary.password}"')
        if password:
            lines.append(f'sentinel sentinel-pass "{password}"')
        (self.directory / "sentinel.conf").write_text("\n".join(lines) + "\n")

    def _arguments(self) -> list[str]:
        return [str(self.directory / "sentinel.conf"), *super()._arguments()]


class SentinelSet:
    """Three servers, of which the first is the primary at the start, and three sentinels that watch them."""

    def __init__(
        self, path: Path, *, tls: Certificates | None = None, password: str = "", sentinel_password: str = ""
    ) -> None:
        config = ["--appendonly", "yes", "--repl-diskless-sync-delay", "0"]
        if tls:
            config += ["--tls-replication", "yes"]
        if password:
            config += ["--masterauth", password]
        self._stack = ExitStack()
        self._tls = tls
        self._passwords = password, sentinel_password
        self.servers = [
            self._stack.push(RedisProcess(path, *config, tcp=not tls, tls=tls, password=password)) for _ in range(3)
        ]
        primary = self.servers[0]
        self.sentinels = [self._stack.push(SentinelProcess(path, primary, tls, sentinel_password)) for _ in range(3)]

    @property
    def url(self) -> str:
        """The URL of the set for clients; it names the sentinels."""
        password, sentinel_password = self._passwords
        login = f":{quote(password, safe='')}@" if password else ""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        options = []
        if sentinel_password:
            options.append(f"sentinel_password={quote(sentinel_password, safe='')}")
        if self._tls:
            options.append(f"ssl_ca_certs={quote(str(self._tls.authority))}")
        scheme = "rediss+sentinel" if self._tls else "redis+sentinel"
        return f"{scheme}://{login}{hosts}/{SERVICE}/0" + ("?" + "&".join(options) if options else "")

    @property
    def primary(self) -> RedisProcess:
        """The server that the sentinels name."""
        port = eventually(self.named)
        return next(server for server in self.servers if server.port == port)

    def __enter__(self) -> Self:
        try:
            for server in self.servers:
                server.start()
            for replica in self.servers[1:]:
                replica.command("REPLICAOF", "127.0.0.1", self.servers[0].port)
            eventually(lambda: all(each.command("ROLE")[3] == b"connected" for each in self.servers[1:]))
            for sentinel in self.sentinels:
                sentinel.start()
            eventually(self._known)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _known(self) -> bool:
        """Return True if each sentinel knows the replicas and the other sentinels."""
        for sentinel in self.sentinels:
            if len(sentinel.command("SENTINEL", "REPLICAS", SERVICE)) < 2:
                return False
            if len(sentinel.command("SENTINEL", "SENTINELS", SERVICE)) < 2:
                return False
        return True

    def named(self) -> int | None:
        """Return the port of the primary, or None while the sentinels do not agree on one."""
        told = {sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1] for sentinel in self.sentinels}
        return int(told.pop()) if len(told) == 1 else None
