"""The rules by which `polystow doctor` judges what was found out, without asking anything.

A rule is about what an operator can change; `refuse` means that requests fail or data is lost because of it, `warn`
that they will under a condition that it names.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from service.access import Malformed, parse
from service.dialects import discover
from service.redis.check import Finding, Server
from service.settings import Settings
from service.worker import FINISH_SECONDS

FULL, NEARLY_FULL, HALF = 0.95, 0.80, 0.50  # of what memory Redis may take
FRAGMENTED, LARGE = 1.5, 256 * 1024 * 1024  # resident to used memory, where there is enough of it to matter
CONNECTIONS = 2  # that the parent process holds beside one for each worker, while it applies an access document
SPARE_CONNECTIONS = 10
SHORTEST_TOKEN = 16  # characters that cannot be guessed at a thousand tries a second
MANY_SCRIPTS = 1000

# What the service cannot do without, asked for in a way that changes nothing.
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("EVAL", "return 1", "0"),
    ("EVALSHA", "0" * 40, "0"),
    ("SCRIPT", "EXISTS", "0" * 40),
    ("MGET", "polystow:epoch"),
    ("EXISTS", "polystow:epoch"),
    ("TTL", "polystow:epoch"),
    ("TIME",),
    ("SCAN", "0", "COUNT", "1"),
    ("ZCARD", "polystow:nothing"),
    ("UNLINK", "polystow:nothing"),
)


def of_settings(settings: Settings) -> Iterator[Finding]:
    """Settings that contradict each other, or this machine."""
    if settings.port and settings.port == settings.ops_port:
        yield Finding(
            "refuse",
            f"both ports are {settings.port}: the second to listen will fail",
            "give POLYSTOW_OPS_PORT another value than POLYSTOW_PORT",
        )
    if settings.redis_url is not None:
        yield from _of_own_redis(settings)
    if settings.request_timeout > FINISH_SECONDS:
        yield Finding(
            "warn",
            f"POLYSTOW_REQUEST_TIMEOUT is {settings.request_timeout:g} s, a worker that stops waits {FINISH_SECONDS:g}:"
            " a request that takes longer is cut off",
            f"set it to {FINISH_SECONDS:g} or less",
        )
    yield from _of_operator(settings)
    if settings.access is not None:
        yield from of_document(settings.access)


def _of_own_redis(settings: Settings) -> Iterator[Finding]:
    """Settings beside the URL of a Redis."""
    for name, given in (("redis_server", settings.redis_server), ("appendfsync", settings.appendfsync)):
        if given not in (None, "everysec"):
            yield Finding(
                "warn",
                f"POLYSTOW_{name.upper()} is for the embedded Redis, and a Redis is given by its URL",
                "set appendfsync on that server itself" if name == "appendfsync" else "leave one of the two out",
            )
    if not settings.signing_key and any(dialect.signs for dialect in discover(settings.dialects)):
        yield Finding(
            "refuse",
            "there is no POLYSTOW_SIGNING_KEY, and a Redis is given by its URL: the service does not start",
            "openssl rand -hex 32 makes one; give all who serve from that Redis the same",
        )


def _of_operator(settings: Settings) -> Iterator[Finding]:
    """Settings that are lawful, and most likely not meant."""
    cores = len(os.sched_getaffinity(0))
    if settings.workers > cores:
        yield Finding(
            "warn", f"{settings.workers} workers share {cores} cores", "set POLYSTOW_WORKERS to the number of cores"
        )
    if settings.admin_token is not None and len(settings.admin_token) < SHORTEST_TOKEN:
        yield Finding(
            "warn",
            f"POLYSTOW_ADMIN_TOKEN has {len(settings.admin_token)} characters: it can be guessed",
            "openssl rand -hex 32 makes a good one",
        )
    if "*" in settings.cors_origins and len(settings.cors_origins) > 1:
        yield Finding(
            "warn", "POLYSTOW_CORS_ORIGINS names * and origins beside it, which adds nothing", "leave one of the two"
        )


def of_document(path: Path) -> Iterator[Finding]:
    """The access document: can it be read and applied, and by whom can it be read?"""
    try:
        text = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        yield Finding("refuse", f"{path}: {error.strerror}", "put POLYSTOW_ACCESS right")
        return
    try:
        parse(text, discover())
    except Malformed as error:
        yield Finding("refuse", f"{path}: {error}", "put the document right; service/demo.yaml is one that is")
    if mode & stat.S_IROTH:
        yield Finding(
            "warn", f"{path} holds credentials, and everybody on this machine may read it", f"chmod o= {path}"
        )


def of_server(server: Server, told: dict[str, str], settings: Settings) -> Iterator[Finding]:
    """What INFO and CONFIG GET say, where they may be asked."""
    yield from _durability(server.info, told)
    yield from _memory(server.info)
    yield from _limits(server.info, told, settings)


def _durability(info: dict[str, str], told: dict[str, str]) -> Iterator[Finding]:
    if info.get("aof_enabled") == "1":
        if told.get("appendfsync") == "no":
            yield Finding(
                "warn",
                "appendfsync is no: when the machine fails, what was acknowledged in the last half minute may be lost",
                "CONFIG SET appendfsync everysec (or always), and the same in its configuration file",
            )
        elif told.get("no-appendfsync-on-rewrite") == "yes":
            yield Finding(
                "warn",
                "no-appendfsync-on-rewrite is yes: while the file is rewritten, appendfsync does not hold",
                "CONFIG SET no-appendfsync-on-rewrite no",
            )
    yield from _failures(info)
    wanted = int(told.get("min-replicas-to-write", "0"))
    if wanted > int(info.get("connected_slaves", "0")):
        yield Finding(
            "refuse",
            f"min-replicas-to-write is {wanted}, and {info.get('connected_slaves', '0')} replicas are connected: each"
            " write is refused",
            "start the replicas, or lower min-replicas-to-write",
        )


def _failures(info: dict[str, str]) -> Iterator[Finding]:
    for name, what in (
        ("aof_last_write_status", "the append-only file could not be written: writes are refused"),
        ("aof_last_bgrewrite_status", "the append-only file could not be rewritten: it grows"),
        ("rdb_last_bgsave_status", "the last snapshot failed: writes may be refused (stop-writes-on-bgsave-error)"),
    ):
        if info.get(name, "ok") != "ok":
            yield Finding("refuse", what, "look at the server's log; most often the disk is full or read-only")


def _memory(info: dict[str, str]) -> Iterator[Finding]:
    used, resident = int(info.get("used_memory", "0")), int(info.get("used_memory_rss", "0"))
    limit, machine = int(info.get("maxmemory", "0")), int(info.get("total_system_memory", "0"))
    room = limit or machine
    of = "maxmemory" if limit else "the machine's memory"
    if room and used > NEARLY_FULL * room:
        yield Finding(
            "refuse" if used > FULL * room else "warn",
            f"Redis uses {used / room:.0%} of {of}: when that is full, writes are refused with 429",
            "raise maxmemory, or delete what is not needed" if limit else "use a larger machine",
        )
    if not limit and machine and HALF * machine < used <= NEARLY_FULL * machine:
        yield Finding(
            "warn",
            f"Redis uses {used / machine:.0%} of the machine's memory and has no maxmemory: when memory is full, the"
            " kernel ends Redis instead of Redis refusing writes",
            f"CONFIG SET maxmemory {int(machine * 0.75)} (three quarters; a rewrite of the file needs the rest)",
        )
    if limit and machine and limit > NEARLY_FULL * machine:
        yield Finding(
            "warn",
            f"maxmemory is {limit / machine:.0%} of the machine's memory, and a rewrite of the file needs more",
            f"CONFIG SET maxmemory {int(machine * 0.75)}",
        )
    if used > LARGE and resident > FRAGMENTED * used:
        yield Finding(
            "warn",
            f"Redis holds {resident / used:.1f} times the memory that its data takes",
            "CONFIG SET activedefrag yes, where the server was built with it, or restart it",
        )


def _limits(info: dict[str, str], told: dict[str, str], settings: Settings) -> Iterator[Finding]:
    for name in ("proto-max-bulk-len", "client-query-buffer-limit"):
        if name in told and int(told[name]) < settings.max_document_bytes + 1024:
            yield Finding(
                "refuse",
                f"{name} is {told[name]}, POLYSTOW_MAX_DOCUMENT_BYTES {settings.max_document_bytes}: larger documents"
                " end the connection of all requests",
                "raise the former or lower the latter",
            )
    if told.get("timeout", "0") != "0":
        yield Finding(
            "warn",
            f"timeout is {told['timeout']}: connections that are idle for so many seconds are closed, and what is sent"
            " at that moment gets 503",
            "CONFIG SET timeout 0",
        )
    normal = told.get("client-output-buffer-limit", "normal 0 0 0").split()
    if normal[1:4] != ["0", "0", "0"]:
        yield Finding(
            "warn",
            f"client-output-buffer-limit is {' '.join(normal[:4])}: a connection with many replies on their way is cut",
            'CONFIG SET client-output-buffer-limit "normal 0 0 0"',
        )
    yield from _connections(info, told, settings)


def _connections(info: dict[str, str], told: dict[str, str], settings: Settings) -> Iterator[Finding]:
    most, now = int(told.get("maxclients", "0")), int(info.get("connected_clients", "0"))
    needed = settings.workers + CONNECTIONS
    if most and now + needed + SPARE_CONNECTIONS > most:
        yield Finding(
            "refuse" if now + needed > most else "warn",
            f"maxclients is {most}, {now} are connected and this service takes {needed}",
            "raise maxclients",
        )


def of_latency(slow: float, allowed: float) -> Iterator[Finding]:
    if slow > allowed:
        yield Finding(
            "warn",
            f"a ping takes {1000 * slow:.1f} ms: each request waits at least as long",
            "bring Redis nearer; look at SLOWLOG GET, LATENCY DOCTOR, and who else uses its cores",
        )


def of_clocks(apart: float, allowed: float) -> Iterator[Finding]:
    if abs(apart) > allowed:
        yield Finding(
            "warn",
            f"Redis's clock and this machine's are {abs(apart):.1f} s apart: records expire by the one, tokens by the"
            " other",
            "synchronise both with NTP",
        )


def of_commands(missing: list[str]) -> Iterator[Finding]:
    if missing:
        yield Finding(
            "refuse",
            f"the server does not let the service use {', '.join(missing)}",
            "undo rename-command, or grant them: ACL SETUSER NAME +@all -@dangerous +info +config|get ~*",
        )


def of_scripts(known: int, all: int, info: dict[str, str]) -> Iterator[Finding]:
    """None is known to a server that the service has not used since it started; then nothing is wrong."""
    if 0 < known < all:
        yield Finding(
            "warn",
            f"{all - known} of {all} scripts are not in the server's cache: somebody flushed it, or another version"
            " serves; each is sent again when it is needed",
            "keep SCRIPT FLUSH from other users of the server; finish the rolling update",
        )
    if int(info.get("number_of_cached_scripts", "0")) > MANY_SCRIPTS:
        yield Finding(
            "warn",
            f"{info['number_of_cached_scripts']} scripts are cached: another user of the server makes up new ones",
            "let it pass values as arguments; SCRIPT FLUSH frees the memory, and this service mends itself",
        )


def of_access(epoch: bytes | None, settings: Settings) -> Iterator[Finding]:
    if epoch is None and settings.access is None:
        yield Finding(
            "warn",
            "no access document was ever applied to this Redis: every request is refused with 401",
            "polystow access apply FILE, or POLYSTOW_ACCESS",
        )
