"""Logs: one JSON object a line on standard error, in every process of the service.

Invariant: no line carries a credential. The code does not log them; `redacted` is the second line of defence.

Written directly rather than through a queue and a thread: a line is a single write, the default level logs a
few lines a minute, and lines that are still in a queue are lost exactly when they matter, at a crash.
"""

import json
import logging
import re
import sys
import time
from types import TracebackType
from typing import Any

REDACTED = "[redacted]"

# What a credential looks like where it could slip into a message: a header, a URL's password, a JSON member.
_CREDENTIALS = (
    (re.compile(r"\b(bearer|basic)(\s+)[^\s\"',;]+", re.IGNORECASE), rf"\1\2{REDACTED}"),
    (
        re.compile(
            r"((?:access[-_]token|authorization|password|admin_token|signing_key)[\"']?\s*[:=]\s*[\"']?)"
            r"(?!bearer|basic)[^\s\"',;&}]+",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"(://[^\s/:@]*:)[^\s/@]+(@)"), rf"\1{REDACTED}\2"),
)


def redacted(text: str) -> str:
    """`text` without what looks like a credential."""
    for pattern, replacement in _CREDENTIALS:
        text = pattern.sub(replacement, text)
    return text


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time (ISO 8601, UTC), level, logger, message, and what else there is.

    `extra={"request_id": ...}` names the request; `extra={"fields": {...}}` adds members of the caller's own.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its newline."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": self._process,
            "message": record.getMessage(),
        }
        if request_id := getattr(record, "request_id", None):
            line["request_id"] = str(request_id)
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        clean = {name: redacted(value) if isinstance(value, str) else value for name, value in line.items()}
        return json.dumps(clean, default=str)


def configure(level: str, process: str) -> None:
    """Send this process's logs to standard error; `process` is its name ("parent", "worker 0", ...)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(process))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _log_crash
    # What these say at INFO (each connection, each access) is said better by the metrics.
    for chatty in ("aiohttp.access", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("service").critical("crashed", exc_info=(kind, error, trace))
