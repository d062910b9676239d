"""Everything in a store, as one value, so that two stores can be compared."""

from collections.abc import Iterable
from typing import Any

from tests.servers import RedisProcess

# Keys that belong to a store itself, not to its records: times of registrations and marks, leases, generations.
OWN = ("polystow:libraries", "polystow:sweeper", "polystow:epoch", "polystow:revision", "polystow:secret")


def contents(*servers: RedisProcess, without: Iterable[str] = OWN) -> dict[str, Any]:
    """Return every key of these servers with its content and its expiry."""
    found = dict[str, Any]()
    left_out = {name.encode() for name in without}
    for server in servers:
        for key in server.command("KEYS", "*"):
            if key not in left_out:
                expires = server.command("PEXPIRETIME", key)
                found[key.decode()] = (_held(server, key), expires)
    return found


def _held(server: RedisProcess, key: bytes) -> Any:
    kind = server.command("TYPE", key)
    if kind == b"string":
        return server.command("GET", key)
    if kind == b"hash":
        pairs = server.command("HGETALL", key)
        return dict(pairs) if isinstance(pairs, dict) else dict(zip(pairs[::2], pairs[1::2], strict=True))
    if kind == b"zset":
        members = server.command("ZRANGE", key, 0, -1, "WITHSCORES")
        if key.endswith(b"}collections"):  # the scores are the times of registration
            return {member for member, _ in members}
        return {member: float(score) for member, score in members}
    return server.command("XRANGE", key, "-", "+")
