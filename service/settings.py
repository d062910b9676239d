"""Settings: one table that defines the flags, the environment variables, their validation and their documentation.

Invariant: a `Settings` that `read` returned is valid. For a wrong value `read` raises BadSetting with one line that
names the flag or variable, the value (unless it is a secret) and the expected values.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from service import setting_types as kinds
from service.setting_types import PATH, PORT, SWITCH, Kind, between, duration, one_of

PREFIX = "POLYSTOW_"
MEBIBYTE = 1024 * 1024
FINISH_SECONDS = 6.0  # a worker that stops has this time to answer the requests that have begun


class BadSetting(ValueError):
    """A setting has a value that cannot be used. The text is the whole message for the operator."""


def _set(default: Any, kind: Kind, help: str, flag: str | None = None, *, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"kind": kind, "help": help, "flag": flag})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of an operator. The variable of a field is `POLYSTOW_` and its name in capitals.

    A field with `secret=True` is left out of `repr` and is never shown.
    """

    host: str = _set("127.0.0.1", kinds.HOST, "Address to listen on, for both ports.", "--host")
    port: int = _set(8080, PORT, "Port of the dialects.", "--port")
    ops_port: int = _set(
        8081, PORT, "Port of /healthz, /readyz, /metrics and /admin/; not for the public.", "--ops-port"
    )
    workers: int = _set(1, between(1, 256), "Worker processes; more than one per core do not help.", "--workers")
    redis_url: str | None = _set(
        None, kinds.REDIS_URL, "Redis to use instead of an embedded one.", "--redis", secret=True
    )
    read_replicas: bool = _set(False, SWITCH, "Let replicas answer reads of single records; they may be a little old.")
    data_dir: Path = _set(Path("data"), PATH, "Directory of the embedded Redis.", "--data-dir")
    access: Path | None = _set(None, PATH, "Access document to apply at start.", "--access")
    admin_token: str | None = _set(
        None, kinds.SECRET, "Bearer token of the admin API; without it the admin API is off.", secret=True
    )
    signing_key: tuple[str, ...] = _set(
        (),
        kinds.SIGNING_KEYS,
        secret=True,
        help="Keys of signed URLs: the first signs, all are accepted; generated if there is no Redis URL.",
    )
    redis_server: Path | None = _set(
        None, PATH, "Program of the embedded Redis; when empty, one on PATH or the bundled one."
    )
    appendfsync: Literal["everysec", "always"] = _set(
        "everysec", one_of("everysec", "always"), "When the append-only file of the embedded Redis is synced to disk."
    )
    drain_seconds: float = _set(
        5.0, duration(0, 3600), "Seconds to go on serving after SIGTERM or SIGHUP, while /readyz already answers 503."
    )
    log_level: str = _set("info", one_of("debug", "info", "warning", "error"), "Least important message to log.")
    access_log: bool = _set(False, SWITCH, "Log one line per request.")
    max_document_bytes: int = _set(
        10 * MEBIBYTE, between(1024, 512 * MEBIBYTE), "Largest document, in bytes; a larger one gets 413."
    )
    request_timeout: float = _set(
        5.0,
        duration(0.1, 600),
        "Seconds that each command of a request may wait for Redis; then the request gets 503.",
    )
    max_in_flight: int = _set(
        10_000, between(1, 10_000_000), "Redis commands in flight per worker; further requests get 503."
    )
    keepalive_seconds: float = _set(75.0, duration(0, 86_400), "How long an idle client connection is kept open.")
    fast_path: bool = _set(
        True, SWITCH, "Answer usual, complete requests on the connection itself, without aiohttp's request objects."
    )
    read_cache_bytes: int = _set(
        64 * MEBIBYTE,
        between(0, 1024**4),
        "Memory per worker for the answers to frequent reads; 0 turns the cache off.",
    )
    feed_unread_bytes: int = _set(
        64 * MEBIBYTE,
        between(MEBIBYTE, 1024**4),
        "Memory per worker for changes that clients of a feed have not read; above it, the slowest are cut off.",
    )
    cors_origins: tuple[str, ...] = _set((), kinds.ORIGINS, "Origins that browsers may call from; none when empty.")
    dialects: tuple[str, ...] = _set((), kinds.DIALECTS, "Dialects to serve; all of them when empty.")
    docs: bool = _set(True, SWITCH, "Serve /docs and /openapi/, without authentication.")
    public_url: str | None = _set(
        None, kinds.BASE_URL, "Base of the URLs in answers; when empty, the host of the request."
    )
    genesys_max_part_bytes: int = _set(
        10 * MEBIBYTE, between(1024, 100 * MEBIBYTE), "Genesys: largest value, in bytes; a larger one gets 413."
    )
    genesys_max_parts: int = _set(
        1000, between(1, 2000), "Genesys: largest number of values in a request, and in a storage area."
    )
    genesys_max_request_bytes: int = _set(
        100 * MEBIBYTE, between(1024, 128 * MEBIBYTE), "Genesys: largest request, and storage area, in bytes."
    )
    genesys_allow_file_control: bool = _set(
        False, SWITCH, "Genesys: check the types of files, both the declared type and the content."
    )
    genesys_allowed_mime_types: tuple[str, ...] = _set(
        (), kinds.MIME_TYPES, "Genesys: types of files that the check accepts."
    )

    def environment(self) -> dict[str, str]:
        """Return the environment variables from which `read` makes equal settings; unset ones are left out."""
        values = ((entry, getattr(self, entry.name)) for entry in TABLE)
        return {entry.variable: entry.kind.show(value) for entry, value in values if value is not None}


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table: the description of a setting."""

    name: str
    variable: str
    flag: str | None
    default: Any
    kind: Kind
    help: str
    secret: bool

    def parse(self, source: str, text: str) -> Any:
        """Return the value of `text`. Raises BadSetting that names `source`, the flag or variable."""
        try:
            return self.kind.parse(text)
        except (ValueError, KeyError):
            shown = "" if self.secret else f", not {text!r}"
            raise BadSetting(f"{source} must be {self.kind.expected}{shown}{_hint(text)}") from None


def _hint(text: str) -> str:
    # Kubernetes sets POLYSTOW_PORT=tcp://... in every pod of a namespace that has a Service named polystow.
    return " (if Kubernetes has set this variable, set enableServiceLinks: false)" if text.startswith("tcp://") else ""


TABLE: tuple[Entry, ...] = tuple(
    Entry(
        name=each.name, variable=PREFIX + each.name.upper(), default=each.default, secret=not each.repr, **each.metadata
    )
    for each in fields(Settings)
)


def add_flags(parser: argparse.ArgumentParser, names: tuple[str, ...] | None = None) -> None:
    """Add the flags of the named settings to `parser`, or of all settings that have a flag."""
    for entry in TABLE:
        if entry.flag and (names is None or entry.name in names):
            default = "none" if entry.default is None else entry.kind.show(entry.default)
            about = f"{entry.help} [{entry.variable}; {default}]".replace("%", "%%")
            parser.add_argument(entry.flag, dest=entry.name, metavar=entry.flag.strip("-").upper(), help=about)


def read(flags: Mapping[str, str | None], environment: Mapping[str, str]) -> Settings:
    """Return the settings: each from the command line, else from the environment, else the default.

    An empty variable counts as unset, because templates for Compose and Kubernetes often leave variables empty.
    Raises BadSetting.
    """
    values = {}
    for entry in TABLE:
        given = flags.get(entry.name)
        if given is not None:
            values[entry.name] = entry.parse(entry.flag or entry.name, given)
        elif environment.get(entry.variable):
            values[entry.name] = entry.parse(entry.variable, environment[entry.variable])
    return Settings(**values)


def unknown(environment: Mapping[str, str]) -> list[str]:
    """Return the variables that begin with `POLYSTOW_` and are not settings, probably because of a typing error."""
    known = {entry.variable for entry in TABLE}
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
