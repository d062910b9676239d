"""A whole response as the bytes that are sent, in one piece."""

from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import TypeVar

from service.dialect import BODILESS, JSON, Answer, Stream

Whole = TypeVar("Whole", bound=Answer | Stream)

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_second, _last_lines = 0, ""  # these lines are made once a second


def lawful(answer: Whole) -> Whole:
    """The same. Raises ValueError where a header could break out of its line."""
    for _, value in answer.headers:
        if not value.isprintable():
            raise ValueError(f"a header that is not printable: {answer.headers}")
    if answer.content_type is not JSON and not answer.content_type.isprintable():
        raise ValueError(f"a type that is not printable: {answer.content_type!r}")
    return answer


def rendered(answer: Answer, lines: str, *, closing: bool) -> bytes:
    """A whole response with some header lines more; `closing` announces the connection's end.

    Raises ValueError, KeyError (an unknown status).
    """
    global _second, _last_lines
    head = _STATUS_LINES[lawful(answer).status] + lines
    for name, value in answer.headers:
        head += f"{name}: {value}\r\n"
    if closing:
        head += "Connection: close\r\n"
    now = int(time())
    if now != _second:
        _second, _last_lines = now, f"Date: {formatdate(now, usegmt=True)}\r\nServer: polystow\r\n\r\n"
    if answer.status in BODILESS:
        return f"{head}{_last_lines}".encode()
    body = answer.body
    head = f"{head}Content-Type: {answer.content_type}\r\nContent-Length: {len(body)}\r\n{_last_lines}"
    return head.encode() + body
