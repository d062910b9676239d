"""Rules of `polystow doctor` for Redis and this machine. They judge the facts that `doctor.py` has collected.

Every rule is about something that an operator can change. The level `refuse` means that requests fail or data is lost
now; `warn` means that this will happen under a condition that the text names.
"""

from collections.abc import Iterator
from pathlib import Path

from service.redis.check import Finding, Server, refuse, warn
from service.settings import Settings

FULL, NEARLY_FULL, HALF = 0.95, 0.80, 0.50  # parts of the memory that Redis may use
FRAGMENTED, LARGE = 1.5, 256 * 1024 * 1024  # ratio of resident to used memory; judged if more bytes are used
CONNECTIONS = 2  # connections of the parent process while it applies an access document; each worker adds one
SPARE_CONNECTIONS = 10
MANY_SCRIPTS = 1000
LEAST_FREE = 256 * 1024 * 1024  # bytes free on the disk of the embedded Redis

# The commands that the service needs, each with arguments that change nothing.
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


def of_server(server: Server, config: dict[str, str], settings: Settings) -> Iterator[Finding]:
    """Judge the answers of INFO and CONFIG GET. Both are empty if the server forbids the command."""
    yield from _durability(server.info, config, embedded=settings.redis_url is None)
    yield from _memory(server.info)
    yield from _limits(server.info, config, settings)


def _durability(info: dict[str, str], config: dict[str, str], *, embedded: bool) -> Iterator[Finding]:
    if info.get("aof_enabled") == "1":
        if config.get("appendfsync") == "no" and not embedded:  # the service syncs the embedded Redis's file
            yield warn(
                "appendfsync is no: if the machine fails, writes acknowledged in the last half minute may be lost",
                "CONFIG SET appendfsync everysec (or always), and the same in its configuration file",
            )
        elif config.get("no-appendfsync-on-rewrite") == "yes":
            text = "no-appendfsync-on-rewrite is yes: while the file is rewritten, Redis does not sync it to disk"
            yield warn(text, "CONFIG SET no-appendfsync-on-rewrite no")
    yield from _failures(info, embedded=embedded)
    wanted = int(config.get("min-replicas-to-write", "0"))
    if wanted > int(info.get("connected_slaves", "0")):
        yield refuse(
            f"min-replicas-to-write is {wanted}, but {info.get('connected_slaves', '0')} replicas are connected:"
            " every write is refused",
            "start the replicas, or lower min-replicas-to-write",
        )


def _failures(info: dict[str, str], *, embedded: bool) -> Iterator[Finding]:
    for name, what in (
        ("aof_last_write_status", "the append-only file could not be written: writes are refused, reads are served"),
        ("aof_last_bgrewrite_status", "the append-only file could not be rewritten: it keeps growing"),
        ("rdb_last_bgsave_status", "the last snapshot failed: writes may be refused (stop-writes-on-bgsave-error)"),
    ):
        if info.get(name, "ok") != "ok":
            remedy = (
                "free space on the server's disk, which usually is full; Redis then goes on without a restart."
                " If the disk is not full, read the server's log"
            )
            if name == "aof_last_write_status" and not embedded:  # the service has the embedded Redis rewrite its file
                remedy += "; then run BGREWRITEAOF: a full disk can leave a file from which Redis does not start again"
            yield refuse(what, remedy)


def _memory(info: dict[str, str]) -> Iterator[Finding]:
    used, resident = int(info.get("used_memory", "0")), int(info.get("used_memory_rss", "0"))
    limit, machine = int(info.get("maxmemory", "0")), int(info.get("total_system_memory", "0"))
    available = limit or machine
    of = "maxmemory" if limit else "the machine's memory"
    if available and used > NEARLY_FULL * available:
        yield Finding(
            "refuse" if used > FULL * available else "warn",
            f"Redis uses {used / available:.0%} of {of}: once that is full, writes are refused with 429",
            "raise maxmemory, or delete data that is not needed" if limit else "use a machine with more memory",
        )
    if not limit and machine and HALF * machine < used <= NEARLY_FULL * machine:
        yield warn(
            f"Redis uses {used / machine:.0%} of the machine's memory and has no maxmemory: once memory is full, the"
            " kernel kills Redis, where with a limit Redis would only refuse writes",
            f"CONFIG SET maxmemory {int(machine * 0.75)} (three quarters; a rewrite of the append-only file needs the"
            " rest)",
        )
    if limit and machine and limit > NEARLY_FULL * machine:
        text = (
            f"maxmemory is {limit / machine:.0%} of the machine's memory: too little is left for a rewrite of the"
            " append-only file"
        )
        yield warn(text, f"CONFIG SET maxmemory {int(machine * 0.75)}")
    if used > LARGE and resident > FRAGMENTED * used:
        text = f"Redis occupies {resident / used:.1f} times the memory that its data needs (fragmentation)"
        yield warn(text, "CONFIG SET activedefrag yes if the server was built with it, or restart the server")


def _limits(info: dict[str, str], config: dict[str, str], settings: Settings) -> Iterator[Finding]:
    for name in ("proto-max-bulk-len", "client-query-buffer-limit"):
        if name in config and int(config[name]) < settings.max_document_bytes + 1024:
            yield refuse(
                f"{name} is {config[name]}, but POLYSTOW_MAX_DOCUMENT_BYTES is {settings.max_document_bytes}: a"
                " document that is too large for Redis makes it close the connection that all requests share",
                f"raise {name}, or lower POLYSTOW_MAX_DOCUMENT_BYTES",
            )
    if config.get("timeout", "0") != "0":
        yield warn(
            f"timeout is {config['timeout']}: Redis closes connections that are idle for so many seconds, and a write"
            " sent at that moment gets 503",
            "CONFIG SET timeout 0",
        )
    normal = config.get("client-output-buffer-limit", "normal 0 0 0").split()
    if normal[1:4] != ["0", "0", "0"]:
        yield warn(
            f"client-output-buffer-limit is {' '.join(normal[:4])}: Redis closes a connection that waits for many"
            " replies",
            'CONFIG SET client-output-buffer-limit "normal 0 0 0"',
        )
    yield from _connections(info, config, settings)


def _connections(info: dict[str, str], config: dict[str, str], settings: Settings) -> Iterator[Finding]:
    most, now = int(config.get("maxclients", "0")), int(info.get("connected_clients", "0"))
    needed = settings.workers + CONNECTIONS
    if most and now + needed + SPARE_CONNECTIONS > most:
        text = f"maxclients is {most}, {now} clients are connected, and this service needs {needed} connections"
        yield Finding("refuse" if now + needed > most else "warn", text, "raise maxclients")


def of_disk(data_dir: Path, free: int) -> Iterator[Finding]:
    if free < LEAST_FREE:
        yield Finding(
            "refuse" if free < 1024 * 1024 else "warn",
            f"the disk of {data_dir} has {free} bytes free: once it is full, writes are refused; reads are served",
            "free space on it, or move the directory to a larger disk; writes then go on without a restart",
        )


def of_latency(median: float, allowed: float) -> Iterator[Finding]:
    if median > allowed:
        text = f"a Redis command takes {1000 * median:.1f} ms: each request waits at least as long"
        remedy = "run Redis nearer to the service; look at SLOWLOG GET, LATENCY DOCTOR and other users of its cores"
        yield warn(text, remedy)


def of_clocks(offset: float, allowed: float) -> Iterator[Finding]:
    if abs(offset) > allowed:
        yield warn(
            f"Redis's clock and this machine's are {abs(offset):.1f} s apart: records expire by Redis's clock, tokens"
            " by this machine's",
            "synchronise both with NTP",
        )


def of_commands(missing: list[str]) -> Iterator[Finding]:
    if missing:
        yield refuse(
            f"the server does not let the service use {', '.join(missing)}",
            "remove rename-command, or permit the commands: ACL SETUSER NAME +@all -@dangerous +info +config|get ~*",
        )


def of_tracking(refused: dict[str, str]) -> Iterator[Finding]:
    """Report the servers that refuse CLIENT TRACKING; `refused` has their answers by name."""
    for name, refusal in refused.items():
        yield warn(
            f"{name} does not tell which keys change, so the read cache is not used: {refusal}",
            "permit +hello +client|tracking +time and connect without a proxy, or set POLYSTOW_READ_CACHE_BYTES=0",
        )


def of_scripts(info: dict[str, str]) -> Iterator[Finding]:
    if int(info.get("number_of_cached_scripts", "0")) > MANY_SCRIPTS:
        yield warn(
            f"Redis caches {info['number_of_cached_scripts']} scripts: another user of the server generates new ones"
            " again and again",
            "let that user pass values as arguments of one script; SCRIPT FLUSH frees the memory",
        )


def of_access(generation: bytes | None, settings: Settings) -> Iterator[Finding]:
    if generation is None and settings.access is None:
        text = "no access document has been applied to this Redis: every request is refused with 401"
        yield warn(text, "run polystow access apply FILE, or set POLYSTOW_ACCESS")
