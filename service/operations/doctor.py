"""The command `polystow doctor`: it reports problems of settings, Redis and machine, each with a remedy.

It examines the settings, the access document, and the Redis that the settings name, or the embedded one if a service
runs. It changes nothing and starts no Redis. The checks in `service/redis/check.py` are also made at each start of the
service; the other rules are in `contradictions.py` and `diagnosis.py`.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from shutil import disk_usage
from statistics import quantiles
from time import perf_counter, time
from typing import Any

from service.operations import contradictions, diagnosis
from service.redis.aof import missing
from service.redis.binary import Unusable, find_server
from service.redis.check import Ask, Finding, coverage, findings, inspect, refuse
from service.redis.client import Redis
from service.redis.embedded import running
from service.redis.errors import Failed, NotSent, Rejected
from service.redis.lane import Lane
from service.settings import Settings
from service.storage import keys
from service.storage.scripts import library

COMMANDS = 100  # number of commands that are sent to measure the latency
ANSWER_SECONDS = 2.0  # time for a connection, and for each answer
CLOCK_SECONDS = 1.0  # allowed difference of Redis's clock (expiry of records) and this machine's (of tokens)
LATENCY_SECONDS = 0.005  # largest median; higher percentiles depend on this machine as much as on the network

Out = Callable[[str], object]


async def run(settings: Settings, out: Out) -> int:
    """Examine everything and write the report to `out`. Return 0 if there are no findings, else 1."""
    found = [*contradictions.of_settings(settings)]
    if settings.redis_url is None:
        found += _directory(settings)
    if redis_url := settings.redis_url or running(settings.data_dir):
        try:
            found += await _examine(settings, redis_url, out)
        except (Failed, ValueError) as error:
            found.append(refuse(f"redis: {error}", "start it, or correct POLYSTOW_REDIS_URL"))
    else:
        state = "no Redis runs on it" if settings.data_dir.is_dir() else "it does not exist yet"
        out(f"ok     {settings.data_dir.resolve()}: {state}, so no Redis was examined")
    for finding in sorted(found, key=lambda finding: finding.level):
        out(f"{finding.level:6} {finding.text}")
        out(f"       -> {finding.remedy}")
    out(f"{len(found)} finding{'' if len(found) == 1 else 's'}")
    return 1 if found else 0


def _directory(settings: Settings) -> Iterable[Finding]:
    """Check the program, the disk and the files of the embedded Redis."""
    try:
        find_server(settings.redis_server)
    except Unusable as error:
        yield refuse(str(error), "install one, or name it in POLYSTOW_REDIS_SERVER")
    with suppress(FileNotFoundError):
        yield from diagnosis.of_disk(settings.data_dir, disk_usage(settings.data_dir).free)
        if lost := missing(settings.data_dir):
            yield refuse(lost, "do one of the two; until then the service does not start")


async def _examine(settings: Settings, redis_url: str, out: Out) -> list[Finding]:
    redis = Redis.open(redis_url, timeout=ANSWER_SECONDS, tracking=settings.read_cache_bytes > 0)
    try:
        await redis.connect(ANSWER_SECONDS)
        found = [finding for lane in redis.lanes for finding in await _node(settings, redis, lane, out)]
        generation = await redis.execute("GET", keys.GENERATION, key=keys.GENERATION, write=False)
        refused = {tracker.name: tracker.refusal for tracker in redis.trackers if tracker.refusal}
        return [*found, *diagnosis.of_access(generation, settings), *diagnosis.of_tracking(refused)]
    finally:
        await redis.close()


async def _node(settings: Settings, redis: Redis, lane: Lane, out: Out) -> list[Finding]:
    """Examine one server: write its figures to `out` and return the findings."""
    ask = partial(lane.execute, write=False)
    server = await inspect(ask)
    version = ".".join(map(str, server.version))
    out(f"ok     {lane.name} is {'Valkey, compatible with ' if server.valkey else ''}Redis {version}")
    config = await _configuration(ask)
    await _functions(ask, out)
    return [
        *findings(server, cluster=redis.cluster),
        *(await coverage(ask) if redis.cluster else ()),
        *diagnosis.of_server(server, config, settings),
        *await _latency(ask, out),
        *await _clock(ask, out),
        *await _commands(ask),
        *diagnosis.of_scripts(server.info),
    ]


async def _configuration(ask: Ask) -> dict[str, str]:
    """Return the answer of CONFIG GET; empty if the server forbids the command."""
    try:
        reply = await ask("CONFIG", "GET", "*")
    except Rejected:
        return {}
    texts = [text.decode(errors="replace") for text in reply]
    return dict(zip(texts[::2], texts[1::2], strict=True))


async def _latency(ask: Ask, out: Out) -> Iterable[Finding]:
    taken = []
    for _ in range(COMMANDS):
        begun = perf_counter()
        await ask("TIME")  # PING is refused while Redis cannot write to its disk
        taken.append(perf_counter() - begun)
        await asyncio.sleep(0.001)
    percent = quantiles(taken, n=100, method="inclusive")
    out(f"ok     {COMMANDS} commands: median {1000 * percent[49]:.2f} ms, 99 % within {1000 * percent[98]:.2f} ms")
    return diagnosis.of_latency(percent[49], LATENCY_SECONDS)


async def _clock(ask: Ask, out: Out) -> Iterable[Finding]:
    before = time()
    seconds, microseconds = map(int, await ask("TIME"))
    offset = seconds + microseconds / 1_000_000 - (before + time()) / 2
    out(f"ok     clocks: Redis's is {abs(offset):.3f} s {'ahead' if offset > 0 else 'behind'}")
    return diagnosis.of_clocks(offset, CLOCK_SECONDS)


async def _commands(ask: Ask) -> Iterable[Finding]:
    """Find needed commands that the provider has renamed or an ACL forbids."""
    missing = []
    for command in diagnosis.COMMANDS:
        try:
            await ask(*command)
        except Rejected as error:
            if error.word == "NOPERM" or "unknown command" in error.message:
                missing.append(" ".join(command[: 2 if command[0] == "FUNCTION" else 1]))
        except NotSent:  # a temporary refusal: the command exists, and other rules report the server's state
            pass
    return diagnosis.of_commands(missing)


async def _functions(ask: Ask, out: Out) -> None:
    """Report the libraries of functions. A new server has none yet; the service loads it, and removes old versions."""
    own = library.installed().name
    try:
        found: list[Any] = await ask("FUNCTION", "LIST", "LIBRARYNAME", f"{library.NAME}*")
    except Rejected:
        return  # `_commands` reports it
    names = {each[1].decode() for each in found}
    others = len(names - {own})
    out(f"ok     functions: {own} is {'' if own in names else 'not yet '}there, and {others} of other versions")
