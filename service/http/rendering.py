"""Renders a whole response as bytes, in one piece."""

from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus
from time import time

from service.api.dialect import BODILESS, JSON, Answer

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_last_until, _last_lines = 0.0, b""  # cached for a second


def header_lines(headers: Iterable[tuple[str, str]]) -> str:
    """Return headers as lines. Raises ValueError if a value is not printable, because it could contain line breaks."""
    lines = ""
    for name, value in headers:
        if not value.isprintable():
            raise ValueError(f"the header {name} is not printable: {value!r}")
        lines += f"{name}: {value}\r\n"
    return lines


def _lines_at(second: float) -> bytes:
    return f"Date: {formatdate(second, usegmt=True)}\r\nServer: polystow\r\n\r\n".encode()


LAST_LINES = len(_lines_at(0.0))  # bytes of `date_lines`, always: a date has a fixed length


def date_lines(now: float) -> bytes:
    """Return the last lines of a head, with the date. They are rendered once a second; `now` is perf_counter()."""
    global _last_until, _last_lines
    if now >= _last_until:
        second, fraction = divmod(time(), 1)
        _last_until = now + 1 - fraction
        _last_lines = _lines_at(second)
    return _last_lines


def render(answer: Answer, lines: str, last: bytes, *, closing: bool) -> bytes:
    """Render a whole response. `lines` are header lines of the dialect, `last` comes from `date_lines`.

    `closing` adds `Connection: close`. Raises ValueError if a header is not printable, KeyError for an unknown status.
    """
    head = f"{_STATUS_LINES[answer.status]}{lines}{header_lines(answer.headers)}"
    if closing:
        head += "Connection: close\r\n"
    if answer.status in BODILESS:
        return head.encode() + last
    body, kind = answer.body, answer.content_type
    if kind is not JSON and not kind.isprintable():
        raise ValueError(f"the header Content-Type is not printable: {kind!r}")
    return b"".join((f"{head}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n".encode(), last, body))
