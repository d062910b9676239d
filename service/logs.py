"""Logs: one JSON object per line on standard error, in every process of the service.

Invariant: no line contains a credential. The code logs none, and `redacted` removes any that is there by mistake.

Lines are written directly, without a queue and a thread: a line is one write, the default level logs a few lines per
minute, and the lines in a queue would be lost in a crash, where they are needed most.
"""

import json
import logging
import re
import sys
import time
from types import TracebackType
from typing import Any

REDACTED = "[redacted]"

# Patterns of credentials that could be in a message by mistake: in a header, as a URL's password, in a JSON member.
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
    """Return `text` without everything that looks like a credential."""
    for pattern, replacement in _CREDENTIALS:
        text = pattern.sub(replacement, text)
    return text


class JsonLines(logging.Formatter):
    """Formatter of a log record as one line of JSON: time (ISO 8601, UTC), level, logger, process and message.

    `extra={"request_id": ...}` adds the request's id; `extra={"fields": {...}}` adds further members.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a newline."""
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
    """Write the logs of this process to standard error. `process` is its name ("parent", "worker 0", ...)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(process))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _log_crash
    # At INFO these log every connection and every access; the metrics have the same facts.
    for chatty in ("aiohttp.access", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("service").critical("crashed", exc_info=(kind, error, trace))
