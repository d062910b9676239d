"""Finds commands that block Redis for too long, by Redis's own clock (SLOWLOG).

Other processes interrupt Redis now and then, so a command counts only if it is slow in each of several runs. If Redis's
main thread used less processor time than that in a run, no command of the run was slow.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import redis

HOLD_US = 5000  # microseconds that one command may block Redis
RUNS = 12
# The parts of a command that differ between two runs: random ids, and tokens of versions.
DIFFERS = re.compile(rb"\b[0-9a-f]{32}\b|\d+:\d{10,}")


async def slow_commands(
    client: "redis.Redis",
    operation: Callable[[], Awaitable[object]],
    prepare: Callable[[], Awaitable[object]] | None = None,
) -> list[str]:
    """Return the commands that blocked Redis for too long in each run of `operation`. `prepare` runs before each run.

    GET, SET and MGET of one document do not count: each is a single copy, which takes 4 to 10 ms for 10 MB.
    """
    client.config_set("slowlog-log-slower-than", HOLD_US)
    found: dict[bytes, str] = {}
    for number in range(RUNS):
        if prepare:
            await prepare()
        client.slowlog_reset()
        before = _processor_us(client)
        await operation()
        if _processor_us(client) - before < HOLD_US:
            return []
        slow = {
            DIFFERS.sub(b"*", each["command"]): f"{each['duration']} us: {each['command'][:80]!r}"
            for each in client.slowlog_get(1000)
            if not _one_copy(each)
        }
        found = {command: text for command, text in slow.items() if number == 0 or command in found}
        if not found:
            break
    return list(found.values())


def _processor_us(client: "redis.Redis") -> int:
    """The time that Redis's main thread ran so far, in all."""
    found: dict[str, float] = client.info("cpu")
    return round(1e6 * (found["used_cpu_user_main_thread"] + found["used_cpu_sys_main_thread"]))


def _one_copy(entry: dict[str, Any]) -> bool:
    name, *arguments = entry["command"].split(b" ")
    return name in (b"GET", b"SET") or (name == b"MGET" and len(arguments) == 1)
