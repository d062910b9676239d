"""A whole response as the bytes that are sent, in one piece."""

from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus
from time import time

from service.api.dialect import BODILESS, JSON, Answer

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
LAST_LINES = len("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: polystow\r\n\r\n")  # bytes of what `dated` makes
_last_until, _last_lines = 0.0, b""  # these lines are made once a second


def lines_of(headers: Iterable[tuple[str, str]]) -> str:
    """Headers as they are sent. Raises ValueError where one could break out of its line."""
    lines = ""
    for name, value in headers:
        if not value.isprintable():
            raise ValueError(f"the header {name} is not printable: {value!r}")
        lines += f"{name}: {value}\r\n"
    return lines


def dated(now: float) -> bytes:
    """The last lines of a head, with the date; `now` is perf_counter(). The same object again within a second."""
    global _last_until, _last_lines
    if now >= _last_until:
        second, fraction = divmod(time(), 1)
        _last_until = now + 1 - fraction
        _last_lines = f"Date: {formatdate(second, usegmt=True)}\r\nServer: polystow\r\n\r\n".encode()
    return _last_lines


def rendered(answer: Answer, lines: str, last: bytes, *, closing: bool) -> bytes:
    """A whole response with some header lines more; `last` is `dated`, `closing` announces the connection's end.

    Raises ValueError, KeyError (an unknown status).
    """
    head = f"{_STATUS_LINES[answer.status]}{lines}{lines_of(answer.headers)}"
    if closing:
        head += "Connection: close\r\n"
    if answer.status in BODILESS:
        return head.encode() + last
    body, kind = answer.body, answer.content_type
    if kind is not JSON and not kind.isprintable():
        raise ValueError(f"the header Content-Type is not printable: {kind!r}")
    return b"".join((f"{head}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n".encode(), last, body))
