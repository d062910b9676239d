"""Conversations: `.http` files of requests and the answers that they get, replayed against a running service.

An exchange begins with a line `### title`. Then come the request and the answer as they are on the wire; a body is
parted from its head by a blank line, blank lines around it do not count, and a body that is left out is not looked at.
Headers of an answer that are not written down may be there; `{{absent}}` as a value says that the header is not.

`{{name}}` stands for a value that the caller gave or an earlier answer held; in an answer, `{{name:hex}}` takes a value
down under a name and `{{:hex}}` only wants one of that sort (`SORTS`). JSON is compared token by token, so the order of
members and the digits of numbers count and white space does not.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from aiohttp import ClientSession
from yarl import URL

SORTS = {
    "hex": "[0-9a-f]{32}",
    "uuid": "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "number": r"-?\d+(?:\.\d+)?",
    "text": ".*",
    "seconds": r"\d{10}\.\d{1,6}",
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z",
    "date": r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT",
}
_hole = re.compile(r"\{\{(\w*)(?::(\w+))?\}\}")
_token = re.compile(r'"(?:[^"\\]|\\.)*"|\{\{\w*(?::\w+)?\}\}|[^\s{}\[\],:"]+|[{}\[\],:]')


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer: its first line, its headers and its body, "" where there is none."""

    start: str
    headers: tuple[tuple[str, str], ...]
    body: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """`where` is for the reader of a failure: file, line and title."""

    where: str
    request: Message
    answer: Message


def load(path: Path) -> Iterator[Exchange]:
    """The exchanges of a file, in order."""
    text = path.read_text()
    for found in re.finditer(r"^### (.+)\n((?:(?!### ).*\n?)*)", text, re.MULTILINE):
        where = f"{path.name}:{text.count(chr(10), 0, found.start()) + 1} {found[1]}"
        request, answer = re.split(r"^(?=HTTP/1\.1 )", found[2], maxsplit=1, flags=re.MULTILINE)
        yield Exchange(where, _message(request), _message(answer))


def _message(text: str) -> Message:
    head, _, body = text.strip("\n").partition("\n\n")
    start, *headers = head.split("\n")
    pairs = (header.partition(": ") for header in headers)
    return Message(start, tuple((name, value) for name, _, value in pairs), body.strip("\n"))


async def replay(path: Path, http: ClientSession, base: str, **known: str) -> None:
    """Hold the conversation; `known` are the values that its holes may name from the start."""
    for exchange in load(path):
        await _exchange(exchange, http, base, known)


def asked(exchange: Exchange, known: dict[str, str]) -> tuple[str, str, list[tuple[str, str]], bytes | None]:
    """Method, target, headers and body of a request, its holes filled."""
    request = exchange.request
    method, target, *_ = _filled(request.start, known).split(" ")
    headers = [(name, _filled(value, known)) for name, value in request.headers]
    data = _filled(request.body, known).encode() or None
    if data and any(value.startswith("multipart/") for _, value in headers):
        data = data.replace(b"\n", b"\r\n")  # as RFC 2046 has its lines
    return method, target, headers, data


async def _exchange(exchange: Exchange, http: ClientSession, base: str, known: dict[str, str]) -> None:
    method, target, headers, data = asked(exchange, known)
    async with http.request(method, URL(base + target, encoded=True), headers=headers, data=data) as answer:
        body = (await answer.read()).decode()
    judge(exchange, answer.status, answer.headers, body, known)


def judge(exchange: Exchange, status: int, headers: Mapping[str, str], body: str, known: dict[str, str]) -> None:
    """Fail unless this answer is the expected one; what its holes take down is added to `known`."""
    expected = exchange.answer
    said = f"{exchange.where}: {status} {dict(headers)} {body}"
    assert expected.start == f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", said
    for name, value in expected.headers:
        if value == "{{absent}}":
            assert name not in headers, said
        else:
            assert _matches(value, headers.get(name, ""), known), f"{name}: {said}"
    assert not expected.body or same(expected.body, body, known), said


def _filled(text: str, known: dict[str, str]) -> str:
    return _hole.sub(lambda hole: known[hole[1]], text)


def same(expected: str, actual: str, known: dict[str, str]) -> bool:
    """Does a body say what is expected, as JSON where that is JSON?"""
    if expected[0] not in "{[":
        return _matches(expected, actual, known)
    wanted, found = _token.findall(expected), _token.findall(actual)
    return len(wanted) == len(found) and all(map(_matches, wanted, found, [known] * len(wanted)))


def _matches(expected: str, actual: str, known: dict[str, str]) -> bool:
    """Is `actual` what `expected` says? What its holes take down is added to `known`."""
    pattern, end = "", 0
    for hole in _hole.finditer(expected):
        pattern += re.escape(expected[end : hole.start()]) + _wanted(hole, known)
        end = hole.end()
    found = re.fullmatch(pattern + re.escape(expected[end:]), actual, re.DOTALL)
    if found is None:
        return False
    known.update(found.groupdict())
    return True


def _wanted(hole: re.Match[str], known: dict[str, str]) -> str:
    name, sort = hole.groups()
    if not sort:
        return re.escape(known[name])
    return f"(?P<{name}>{SORTS[sort]})" if name else f"(?:{SORTS[sort]})"
