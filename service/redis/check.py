"""Checks of a Redis server, made at each start of the service and by `polystow doctor`.

The level `refuse` means that data would be lost or hidden, so the service does not start. The level `warn` means that
the setting may be intended, or that it could not be checked.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from service.redis.errors import Rejected

OLDEST = (7, 0, 0)

NOEVICTION = "CONFIG SET maxmemory-policy noeviction, and the same in its configuration file"
APPEND_ONLY = "CONFIG SET appendonly yes, and the same in its configuration file"

Ask = Callable[..., Awaitable[Any]]  # sends one command and awaits its answer


@dataclass(frozen=True)
class Finding:
    """A problem and its remedy."""

    level: Literal["refuse", "warn"]
    text: str
    remedy: str


def warn(text: str, remedy: str) -> Finding:
    return Finding("warn", text, remedy)


def refuse(text: str, remedy: str) -> Finding:
    return Finding("refuse", text, remedy)


@dataclass(frozen=True)
class Server:
    """Facts that a server reports about itself. For Valkey, `version` is the version of Redis it is compatible with."""

    version: tuple[int, ...] = (0, 0, 0)  # zeros if the server does not report it
    valkey: bool = False
    info: dict[str, str] = field(default_factory=dict)  # the fields of INFO; empty if INFO is forbidden
    save: str | None = None  # the answer of `CONFIG GET save`; None if CONFIG is forbidden


async def check(ask: Ask, *, cluster: bool = False) -> list[Finding]:
    """Ask a server about itself and return the findings. `cluster`: the server is a primary of a cluster.

    Raises what `ask` raises, except Rejected.
    """
    server = await inspect(ask)
    return [*findings(server, cluster=cluster), *(await coverage(ask) if cluster else ())]


async def inspect(ask: Ask) -> Server:
    """Ask a server about itself. Managed servers may forbid INFO or CONFIG; then the facts are incomplete."""
    try:
        text = (await ask("INFO")).decode(errors="replace")
    except Rejected:
        return Server()
    info = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    try:
        reply = await ask("CONFIG", "GET", "save")
        save = reply[1].decode() if len(reply) == 2 else None
    except Rejected:
        save = None
    version = tuple(int(part) for part in info.get("redis_version", "0.0.0").split(".") if part.isdigit())
    return Server(version, info.get("server_name") == "valkey" or "valkey_version" in info, info, save)


async def coverage(ask: Ask) -> list[Finding]:
    """Check the settings of a cluster's node; return no finding if CONFIG is forbidden."""
    try:
        reply = await ask("CONFIG", "GET", "cluster-require-full-coverage")
    except Rejected:
        return []
    if len(reply) < 2 or reply[1] != b"yes":
        return []
    text = "cluster-require-full-coverage is yes: while one slot has no primary, the cluster serves no slot at all"
    return [warn(text, "CONFIG SET cluster-require-full-coverage no, on every node")]


def findings(server: Server, *, cluster: bool = False) -> Iterator[Finding]:
    """Judge a server by the facts in `server`, without asking it anything."""
    if server.info:
        yield from (*_kind(server, cluster), *_eviction(server.info), *_persistence(server))
    else:
        text = "the server forbids INFO: its version and settings could not be checked"
        yield warn(text, "permit INFO and CONFIG GET: ACL SETUSER NAME +info +config|get")


def _kind(server: Server, cluster: bool) -> Iterator[Finding]:
    if server.version < OLDEST:
        version = ".".join(map(str, server.version))
        yield refuse(f"the server is Redis {version}; Redis 7.0 or newer, or Valkey, is needed", "upgrade the server")
    if not cluster and server.info.get("cluster_enabled") == "1":
        text = "the server is a node of a Redis Cluster, but the Redis URL is for a single server"
        yield refuse(text, "set POLYSTOW_REDIS_URL to redis+cluster://HOST:PORT,HOST:PORT")
    if server.info.get("role", "master") != "master":
        text = "the server is a read-only replica; the Redis URL must name the primary"
        yield refuse(text, "name the primary in POLYSTOW_REDIS_URL")


def _eviction(info: dict[str, str]) -> Iterator[Finding]:
    policy = info.get("maxmemory_policy")
    if policy is None:
        text = "the server does not report its maxmemory-policy; it must be noeviction"
        yield warn(text, "look it up in the provider's settings of this server")
    elif policy != "noeviction" and info.get("maxmemory", "0") != "0":
        text = f"maxmemory-policy is {policy}: Redis would delete data when its memory is full; set noeviction"
        yield refuse(text, NOEVICTION)
    elif policy != "noeviction":
        text = f"maxmemory-policy is {policy}: Redis would delete data if maxmemory were set; set noeviction"
        yield warn(text, NOEVICTION)


def _persistence(server: Server) -> Iterator[Finding]:
    if server.info.get("aof_enabled") == "1":
        return
    if server.save is None:
        text = "the server has no append-only file, and forbids CONFIG GET, which tells if it saves snapshots"
    elif server.save:
        text = "the server has no append-only file: a crash loses what came after the last snapshot"
    else:
        text = "the server neither keeps an append-only file nor saves snapshots: a restart loses all data"
    yield warn(text, APPEND_ONLY)
