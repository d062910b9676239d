"""Settings, and the access document that they name, which contradict each other, or this machine.

The rules are like those of `service/operations/diagnosis.py`, and nothing is asked here either.
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from service.api.access_document import Malformed
from service.dialects import discover
from service.operations.access import parse
from service.redis.check import Finding, refuse, warn
from service.settings import FINISH_SECONDS, TABLE, Settings

SHORTEST_TOKEN = 16  # characters that cannot be guessed at a thousand tries a second


def of_settings(settings: Settings) -> Iterator[Finding]:
    """Settings that contradict each other, or this machine."""
    if settings.port and settings.port == settings.ops_port:
        text = f"both ports are {settings.port}: the second to listen will fail"
        yield refuse(text, "give POLYSTOW_OPS_PORT another value than POLYSTOW_PORT")
    yield from _of_redis(settings)
    if settings.request_timeout > FINISH_SECONDS:
        yield warn(
            f"POLYSTOW_REQUEST_TIMEOUT is {settings.request_timeout:g} s, a worker that stops waits {FINISH_SECONDS:g}:"
            " a request that takes longer is cut off",
            f"set it to {FINISH_SECONDS:g} or less",
        )
    yield from _of_operator(settings)
    yield from _of_dialects(settings)
    yield from _of_files(settings)
    if settings.access is not None:
        yield from of_document(settings.access)


def _of_redis(settings: Settings) -> Iterator[Finding]:
    """Settings that are for another Redis than the one that is given."""
    if settings.redis_url is not None:
        for name, given in (("redis_server", settings.redis_server), ("appendfsync", settings.appendfsync)):
            if given not in (None, "everysec"):
                yield warn(
                    f"POLYSTOW_{name.upper()} is for the embedded Redis, and a Redis is given by its URL",
                    "set appendfsync on that server itself" if name == "appendfsync" else "leave one of the two out",
                )
        if not settings.signing_key and any(dialect.signs for dialect in discover(settings.dialects)):
            text = "there is no POLYSTOW_SIGNING_KEY, and a Redis is given by its URL: the service does not start"
            yield refuse(text, "openssl rand -hex 32 makes one; give all who serve from that Redis the same")
    if settings.read_replicas and not re.match(r"rediss?\+", settings.redis_url or ""):
        text = "POLYSTOW_READ_REPLICAS is on, and a single server is given: no replica is known, and none is read"
        yield warn(text, "give a redis+cluster:// or redis+sentinel:// URL, or leave it out")


def _of_operator(settings: Settings) -> Iterator[Finding]:
    """Settings that are lawful, and most likely not meant."""
    cores = len(os.sched_getaffinity(0))
    if settings.workers > cores:
        yield warn(f"{settings.workers} workers share {cores} cores", "set POLYSTOW_WORKERS to the number of cores")
    if settings.admin_token is not None and len(settings.admin_token) < SHORTEST_TOKEN:
        text = f"POLYSTOW_ADMIN_TOKEN has {len(settings.admin_token)} characters: it can be guessed"
        yield warn(text, "openssl rand -hex 32 makes a good one")
    if "*" in settings.cors_origins and len(settings.cors_origins) > 1:
        yield warn("POLYSTOW_CORS_ORIGINS names * and origins beside it, which adds nothing", "leave one of the two")


def _of_dialects(settings: Settings) -> Iterator[Finding]:
    """Check the public URL, and settings of dialects that are not served."""
    if settings.public_url is not None and not _names_a_host(settings.public_url):
        yield refuse(
            f"POLYSTOW_PUBLIC_URL is {settings.public_url}, which names no host and port: answers tell URLs that lead"
            " nowhere",
            "set it to what clients call, such as https://storage.example",
        )
    absent = [dialect.name for dialect in discover() if settings.dialects and dialect.name not in settings.dialects]
    for entry in TABLE:
        name = entry.name.partition("_")[0]
        if name in absent and getattr(settings, entry.name) != entry.default:
            text = f"{entry.variable} is set, and POLYSTOW_DIALECTS leaves {name} out"
            yield warn(text, "leave one of the two out")


def _of_files(settings: Settings) -> Iterator[Finding]:
    """Check the settings of files and of their sizes."""
    if settings.genesys_allow_file_control and not settings.genesys_allowed_mime_types:
        text = "POLYSTOW_GENESYS_ALLOW_FILE_CONTROL is on and allows no type: every file gets 403"
        yield warn(text, "name types in POLYSTOW_GENESYS_ALLOWED_MIME_TYPES")
    if settings.genesys_allowed_mime_types and not settings.genesys_allow_file_control:
        text = "POLYSTOW_GENESYS_ALLOWED_MIME_TYPES names types, and nothing is checked: every file comes in"
        yield warn(text, "set POLYSTOW_GENESYS_ALLOW_FILE_CONTROL to true")
    if settings.genesys_max_part_bytes > settings.genesys_max_request_bytes:
        yield warn(
            f"POLYSTOW_GENESYS_MAX_PART_BYTES is {settings.genesys_max_part_bytes}, a whole request has at most"
            f" {settings.genesys_max_request_bytes}: a value of that size never arrives",
            "raise POLYSTOW_GENESYS_MAX_REQUEST_BYTES, or lower the former",
        )


def _names_a_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname and parts.hostname.strip(".-")) and parts.port != 0
    except ValueError:
        return False


def of_document(path: Path) -> Iterator[Finding]:
    """The access document: can it be read and applied, and by whom can it be read?"""
    try:
        text = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        yield refuse(f"{path}: {error.strerror}", "put POLYSTOW_ACCESS right")
        return
    try:
        parse(text, discover())
    except Malformed as error:
        yield refuse(f"{path}: {error}", "put the document right; service/demo.yaml is one that is")
    if mode & stat.S_IROTH:
        yield warn(f"{path} holds credentials, and everybody on this machine may read it", f"chmod o= {path}")
