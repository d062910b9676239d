"""Rules of `polystow doctor` for the settings and the access document: contradictions among them and with this machine.

The rules are pure checks, like those of `service/operations/diagnosis.py`: they send nothing to Redis.
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

SHORTEST_TOKEN = 16  # characters; a random token of this length cannot be guessed


def of_settings(settings: Settings) -> Iterator[Finding]:
    """Check the settings against each other and against this machine."""
    if settings.port and settings.port == settings.ops_port:
        text = f"POLYSTOW_PORT and POLYSTOW_OPS_PORT are both {settings.port}: the service cannot listen on both ports"
        yield refuse(text, "give POLYSTOW_OPS_PORT another value than POLYSTOW_PORT")
    yield from _of_redis(settings)
    if settings.request_timeout > FINISH_SECONDS:
        yield warn(
            f"POLYSTOW_REQUEST_TIMEOUT is {settings.request_timeout:g} s, but a worker that stops waits only"
            f" {FINISH_SECONDS:g} s for its requests: a request that takes longer is cut off",
            f"set it to {FINISH_SECONDS:g} or less",
        )
    yield from _of_operator(settings)
    yield from _of_dialects(settings)
    yield from _of_files(settings)
    if settings.access is not None:
        yield from of_document(settings.access)


def _of_redis(settings: Settings) -> Iterator[Finding]:
    """Check for settings that have no effect on the Redis that is used, and for the signing key."""
    if settings.redis_url is not None:
        for name, given in (("redis_server", settings.redis_server), ("appendfsync", settings.appendfsync)):
            if given not in (None, "everysec"):
                yield warn(
                    f"POLYSTOW_{name.upper()} is for the embedded Redis, but POLYSTOW_REDIS_URL names another Redis:"
                    " it has no effect",
                    "set appendfsync on that server itself" if name == "appendfsync" else "remove one of the two",
                )
        if not settings.signing_key and any(dialect.signs for dialect in discover(settings.dialects)):
            text = "POLYSTOW_REDIS_URL is set, but POLYSTOW_SIGNING_KEY is not: the service does not start"
            remedy = "make a key with openssl rand -hex 32, and use the same for every instance on that Redis"
            yield refuse(text, remedy)
    if settings.read_replicas and not re.match(r"rediss?\+", settings.redis_url or ""):
        text = "POLYSTOW_READ_REPLICAS is true, but the Redis is a single server: no replica is known, none is read"
        yield warn(text, "give a redis+cluster:// or redis+sentinel:// URL, or remove POLYSTOW_READ_REPLICAS")


def _of_operator(settings: Settings) -> Iterator[Finding]:
    """Check for values that are allowed but probably a mistake."""
    cores = len(os.sched_getaffinity(0))
    if settings.workers > cores:
        text = f"POLYSTOW_WORKERS is {settings.workers}: {settings.workers} workers share {cores} cores"
        yield warn(text, f"set POLYSTOW_WORKERS to the number of cores, {cores}")
    if settings.admin_token is not None and len(settings.admin_token) < SHORTEST_TOKEN:
        text = f"POLYSTOW_ADMIN_TOKEN has only {len(settings.admin_token)} characters: it can be guessed"
        yield warn(text, "make a token with openssl rand -hex 32")
    if "*" in settings.cors_origins and len(settings.cors_origins) > 1:
        text = "POLYSTOW_CORS_ORIGINS has * and other origins; * allows every origin, so the others add nothing"
        yield warn(text, "keep either * or the list of origins")


def _of_dialects(settings: Settings) -> Iterator[Finding]:
    """Check the public URL, and look for settings of dialects that are not served."""
    if settings.public_url is not None and not _names_a_host(settings.public_url):
        yield refuse(
            f"POLYSTOW_PUBLIC_URL is {settings.public_url}, which names no host and port that exist: the URLs in"
            " answers do not work",
            "set it to the base URL that clients use, such as https://storage.example",
        )
    absent = [dialect.name for dialect in discover() if settings.dialects and dialect.name not in settings.dialects]
    for entry in TABLE:
        name = entry.name.partition("_")[0]
        if name in absent and getattr(settings, entry.name) != entry.default:
            text = f"{entry.variable} is set, but POLYSTOW_DIALECTS leaves {name} out: it has no effect"
            yield warn(text, f"add {name} to POLYSTOW_DIALECTS, or remove {entry.variable}")


def _of_files(settings: Settings) -> Iterator[Finding]:
    """Check the settings of file types and sizes."""
    if settings.genesys_allow_file_control and not settings.genesys_allowed_mime_types:
        text = "POLYSTOW_GENESYS_ALLOW_FILE_CONTROL is true, but no type is allowed: every file gets 403"
        yield warn(text, "name types in POLYSTOW_GENESYS_ALLOWED_MIME_TYPES")
    if settings.genesys_allowed_mime_types and not settings.genesys_allow_file_control:
        text = (
            "POLYSTOW_GENESYS_ALLOWED_MIME_TYPES names types, but POLYSTOW_GENESYS_ALLOW_FILE_CONTROL is false:"
            " every file is accepted"
        )
        yield warn(text, "set POLYSTOW_GENESYS_ALLOW_FILE_CONTROL to true")
    if settings.genesys_max_part_bytes > settings.genesys_max_request_bytes:
        yield warn(
            f"POLYSTOW_GENESYS_MAX_PART_BYTES is {settings.genesys_max_part_bytes}, but a whole request has at most"
            f" {settings.genesys_max_request_bytes} (POLYSTOW_GENESYS_MAX_REQUEST_BYTES): a value of that size is"
            " never accepted",
            "raise POLYSTOW_GENESYS_MAX_REQUEST_BYTES, or lower POLYSTOW_GENESYS_MAX_PART_BYTES",
        )


def _names_a_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname and parts.hostname.strip(".-")) and parts.port != 0
    except ValueError:
        return False


def of_document(path: Path) -> Iterator[Finding]:
    """Check that the access document can be read and applied, and that other users cannot read it."""
    try:
        text = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        yield refuse(f"{path}: {error.strerror}", "set POLYSTOW_ACCESS to a file that the service can read")
        return
    try:
        parse(text, discover())
    except Malformed as error:
        yield refuse(f"{path}: {error}", "correct the document; service/demo.yaml is a correct example")
    if mode & stat.S_IROTH:
        yield warn(f"{path} holds credentials, but every user of this machine may read it", f"chmod o= {path}")
