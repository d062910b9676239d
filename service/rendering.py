"""A whole response as the bytes that are sent, in one piece."""

from email.utils import formatdate
from http import HTTPStatus
from time import time

from service.dialect import BODILESS, Answer

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_second, _last_lines = 0, ""  # these lines are made once a second


def rendered(answer: Answer, *, closing: bool) -> bytes:
    """A whole response; `closing` announces the connection's end."""
    global _second, _last_lines
    head = _STATUS_LINES[answer.status]
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
