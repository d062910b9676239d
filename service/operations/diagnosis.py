"""The rules by which `polystow doctor` judges what was found out, without asking anything.

A rule is about what an operator can change; `refuse` means that requests fail or data is lost because of it, `warn`
that they will under a condition that it names.
"""

from collections.abc import Iterator
from pathlib import Path

from service.redis.check import Finding, Server, refuse, warn
from service.settings import Settings

FULL, NEARLY_FULL, HALF = 0.95, 0.80, 0.50  # of what memory Redis may take
FRAGMENTED, LARGE = 1.5, 256 * 1024 * 1024  # resident to used memory, where there is enough of it to matter
CONNECTIONS = 2  # that the parent process holds beside one for each worker, while it applies an access document
SPARE_CONNECTIONS = 10
MANY_SCRIPTS = 1000
LEAST_FREE = 256 * 1024 * 1024  # bytes on the disk of the embedded Redis

# What the service cannot do without, asked for in a way that changes nothing.
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("FCALL", "polystow_nothing", "0"),
    ("FUNCTION", "LIST", "LIBRARYNAME", "polystow_nothing"),
    ("TIME",),
    ("FUNCTION", "LOAD", "#!nothing"),
    ("FUNCTION", "DELETE", "polystow_nothing"),
    ("MGET", "polystow:epoch"),
    ("EXISTS", "polystow:epoch"),
    ("TTL", "polystow:epoch"),
    ("SCAN", "0", "COUNT", "1"),
    ("ZCARD", "polystow:nothing"),
    ("UNLINK", "polystow:nothing"),
)


def of_server(server: Server, told: dict[str, str], settings: Settings) -> Iterator[Finding]:
    """Judge the answers of INFO and CONFIG GET, as far as they are permitted."""
    yield from _durability(server.info, told, embedded=settings.redis_url is None)
    yield from _memory(server.info)
    yield from _limits(server.info, told, settings)


def _durability(info: dict[str, str], told: dict[str, str], *, embedded: bool) -> Iterator[Finding]:
    if info.get("aof_enabled") == "1":
        if told.get("appendfsync") == "no" and not embedded:  # whose file is forced to disk by the service
            yield warn(
                "appendfsync is no: when the machine fails, what was acknowledged in the last half minute may be lost",
                "CONFIG SET appendfsync everysec (or always), and the same in its configuration file",
            )
        elif told.get("no-appendfsync-on-rewrite") == "yes":
            text = "no-appendfsync-on-rewrite is yes: while the file is rewritten, appendfsync does not hold"
            yield warn(text, "CONFIG SET no-appendfsync-on-rewrite no")
    yield from _failures(info, embedded=embedded)
    wanted = int(told.get("min-replicas-to-write", "0"))
    if wanted > int(info.get("connected_slaves", "0")):
        yield refuse(
            f"min-replicas-to-write is {wanted}, and {info.get('connected_slaves', '0')} replicas are connected: each"
            " write is refused",
            "start the replicas, or lower min-replicas-to-write",
        )


def _failures(info: dict[str, str], *, embedded: bool) -> Iterator[Finding]:
    for name, what in (
        ("aof_last_write_status", "the append-only file could not be written: writes are refused, reads are served"),
        ("aof_last_bgrewrite_status", "the append-only file could not be rewritten: it grows"),
        ("rdb_last_bgsave_status", "the last snapshot failed: writes may be refused (stop-writes-on-bgsave-error)"),
    ):
        if info.get(name, "ok") != "ok":
            remedy = (
                "make room on the server's disk, which most often is full, and it goes on by itself; else see its log"
            )
            if name == "aof_last_write_status" and not embedded:  # which does so by itself
                remedy += "; then run BGREWRITEAOF: a full disk can leave a file from which Redis does not start again"
            yield refuse(what, remedy)


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
        yield warn(
            f"Redis uses {used / machine:.0%} of the machine's memory and has no maxmemory: when memory is full, the"
            " kernel ends Redis instead of Redis refusing writes",
            f"CONFIG SET maxmemory {int(machine * 0.75)} (three quarters; a rewrite of the file needs the rest)",
        )
    if limit and machine and limit > NEARLY_FULL * machine:
        text = f"maxmemory is {limit / machine:.0%} of the machine's memory, and a rewrite of the file needs more"
        yield warn(text, f"CONFIG SET maxmemory {int(machine * 0.75)}")
    if used > LARGE and resident > FRAGMENTED * used:
        text = f"Redis holds {resident / used:.1f} times the memory that its data takes"
        yield warn(text, "CONFIG SET activedefrag yes, where the server was built with it, or restart it")


def _limits(info: dict[str, str], told: dict[str, str], settings: Settings) -> Iterator[Finding]:
    for name in ("proto-max-bulk-len", "client-query-buffer-limit"):
        if name in told and int(told[name]) < settings.max_document_bytes + 1024:
            yield refuse(
                f"{name} is {told[name]}, POLYSTOW_MAX_DOCUMENT_BYTES {settings.max_document_bytes}: larger documents"
                " end the connection of all requests",
                "raise the former or lower the latter",
            )
    if told.get("timeout", "0") != "0":
        yield warn(
            f"timeout is {told['timeout']}: connections that are idle for so many seconds are closed, and what is sent"
            " at that moment gets 503",
            "CONFIG SET timeout 0",
        )
    normal = told.get("client-output-buffer-limit", "normal 0 0 0").split()
    if normal[1:4] != ["0", "0", "0"]:
        yield warn(
            f"client-output-buffer-limit is {' '.join(normal[:4])}: a connection with many replies on their way is cut",
            'CONFIG SET client-output-buffer-limit "normal 0 0 0"',
        )
    yield from _connections(info, told, settings)


def _connections(info: dict[str, str], told: dict[str, str], settings: Settings) -> Iterator[Finding]:
    most, now = int(told.get("maxclients", "0")), int(info.get("connected_clients", "0"))
    needed = settings.workers + CONNECTIONS
    if most and now + needed + SPARE_CONNECTIONS > most:
        text = f"maxclients is {most}, {now} are connected and this service takes {needed}"
        yield Finding("refuse" if now + needed > most else "warn", text, "raise maxclients")


def of_disk(data_dir: Path, free: int) -> Iterator[Finding]:
    if free < LEAST_FREE:
        yield Finding(
            "refuse" if free < 1024 * 1024 else "warn",
            f"the disk of {data_dir} has {free} bytes free: when it is full, writes are refused, and reads are served",
            "make room on it, or move the directory to a larger one; writes go on by themselves",
        )


def of_latency(slow: float, allowed: float) -> Iterator[Finding]:
    if slow > allowed:
        text = f"a command takes {1000 * slow:.1f} ms: each request waits at least as long"
        yield warn(text, "bring Redis nearer; look at SLOWLOG GET, LATENCY DOCTOR, and who else uses its cores")


def of_clocks(apart: float, allowed: float) -> Iterator[Finding]:
    if abs(apart) > allowed:
        yield warn(
            f"Redis's clock and this machine's are {abs(apart):.1f} s apart: records expire by the one, tokens by the"
            " other",
            "synchronise both with NTP",
        )


def of_commands(missing: list[str]) -> Iterator[Finding]:
    if missing:
        yield refuse(
            f"the server does not let the service use {', '.join(missing)}",
            "undo rename-command, or grant them: ACL SETUSER NAME +@all -@dangerous +info +config|get ~*",
        )


def of_tracking(refused: dict[str, str]) -> Iterator[Finding]:
    """Report the servers that refuse CLIENT TRACKING, with their answers, by name."""
    for name, refusal in refused.items():
        yield warn(
            f"{name} does not tell which keys change, so that each read asks it: {refusal}",
            "grant +hello +client|tracking +time and connect without a proxy, or set POLYSTOW_READ_CACHE_BYTES=0",
        )


def of_scripts(info: dict[str, str]) -> Iterator[Finding]:
    if int(info.get("number_of_cached_scripts", "0")) > MANY_SCRIPTS:
        yield warn(
            f"{info['number_of_cached_scripts']} scripts are cached: another user of the server makes up new ones",
            "let it pass values as arguments; SCRIPT FLUSH frees the memory",
        )


def of_access(generation: bytes | None, settings: Settings) -> Iterator[Finding]:
    if generation is None and settings.access is None:
        text = "no access document was ever applied to this Redis: every request is refused with 401"
        yield warn(text, "polystow access apply FILE, or POLYSTOW_ACCESS")
