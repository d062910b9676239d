"""Finds commands that occupy Redis for more than 5 ms by its own clock (SLOWLOG), in each of several runs.

A test must not depend on the machine's speed, and other processes interrupt Redis now and then. So

- if Redis's main thread used less processor time than 5 ms in a run, no command of the run was slow;
- a script of fixed work is timed beside a command that seems slow. Where that script takes longer than on the machine
  for which the 5 ms were chosen, the command may take longer by the same factor.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

HOLD_US = 5000  # microseconds that one command may hold Redis
RUNS = 12
USUAL_US = 2500  # for `_WORK`, on an idle machine of the kind for which `HOLD_US` was chosen
TRIES = 3  # of `_WORK`; the shortest counts
# The parts of a command that differ between two runs: random ids, and tokens of versions.
DIFFERS = re.compile(rb"\b[0-9a-f]{32}\b|\d+:\d{10,}")

# Work of the kinds that the service's scripts do: a megabyte of arguments is stored, texts are cut, a sorted set grows.
_WORK = """
for i = 1, #ARGV do redis.call('SET', KEYS[1], ARGV[i]) end
redis.call('DEL', KEYS[1])
for i = 1, 5000 do string.sub(ARGV[1], i % 100, i % 100 + 20) end
for i = 1, 500 do redis.call('ZADD', KEYS[1], i, 'member' .. i) end
redis.call('DEL', KEYS[1])
"""
_BODIES = [b"x" * 10_000] * 100

Send = Callable[..., Any]


async def slow_commands(
    send: Send, operation: Callable[[], Awaitable[object]], prepare: Callable[[], Awaitable[object]] | None = None
) -> list[str]:
    """Return the commands that held Redis for too long in each run of `operation`. `prepare` runs before each run.

    `send` sends one command, given as words, to the Redis in question. GET, SET and MGET of one document do not count:
    each is a single copy, which takes 4 to 10 ms for 10 MB.
    """
    found: dict[bytes, str] = {}
    for number in range(RUNS):
        if prepare:
            await prepare()
        pace = _pace(send) if number else 1.0
        before = _processor_us(send)
        _log_from(send, HOLD_US)
        await operation()
        log = [(words, took) for _, _, took, words, *_ in send("SLOWLOG", "GET", 1000) if not _one_copy(words)]
        if not log or _processor_us(send) - before < HOLD_US:
            return []
        allowed = HOLD_US * max(pace, _pace(send))
        slow = {
            DIFFERS.sub(b"*", b" ".join(words)): f"{took} us of {allowed:.0f}: {b' '.join(words)[:80]!r}"
            for words, took in log
            if took > allowed
        }
        found = {command: text for command, text in slow.items() if number == 0 or command in found}
        if not found:
            break
    return list(found.values())


def _pace(send: Send) -> float:
    """The time that the fixed work takes now, as a multiple of `USUAL_US`; 1 at the least."""
    _log_from(send, 0)
    for _ in range(TRIES):
        send("EVAL", _WORK, 1, "pace of the machine", *_BODIES)
    times: list[int] = [took for _, _, took, words, *_ in send("SLOWLOG", "GET", 10) if words[0] == b"EVAL"]
    return max(1.0, min(times) / USUAL_US)


def _log_from(send: Send, microseconds: int) -> None:
    """Empty Redis's log of slow commands, and let it log those that take at least this long."""
    send("CONFIG", "SET", "slowlog-log-slower-than", microseconds)
    send("SLOWLOG", "RESET")


def _processor_us(send: Send) -> int:
    """The time that Redis's main thread ran so far, in all."""
    found: dict[str, float] = send("INFO", "cpu")
    return round(1e6 * (found["used_cpu_user_main_thread"] + found["used_cpu_sys_main_thread"]))


def _one_copy(words: list[bytes]) -> bool:
    return words[0] in (b"GET", b"SET") or (words[0] == b"MGET" and len(words) == 2)
