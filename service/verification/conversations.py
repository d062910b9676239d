"""Conversations: `.http` files with requests and the expected answers.

An exchange begins with a line `### title`. Then come the request and the answer as they are on the wire; a blank line
separates the head from the body. Blank lines around a body are ignored. If the expected answer has no body, the body is
not compared. Headers that it does not name are not compared either; the value `{{absent}}` means that the answer must
not have this header.

`{{name}}` stands for a value that the caller gave or that an earlier answer contained. In an answer, `{{name:hex}}`
records a value under a name, and `{{:hex}}` accepts any value of that sort (`comparison.SORTS`).

The conversations of a dialect are in the folder `conversations` of its package. Files whose names begin with `vendor_`
contain the vendor's page; the others contain what this service decided or added.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from service import dialects

HOLE = re.compile(r"\{\{(\w*)(?::(\w+))?\}\}")


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer: its first line, its headers, and its body, "" if it has none."""

    start: str
    headers: tuple[tuple[str, str], ...]
    body: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its expected answer. `file`, `line` and `title` say where it is written."""

    file: str
    line: int
    title: str
    request: Message
    answer: Message

    @property
    def where(self) -> str:
        """The file, line and title in one text, for messages."""
        return f"{self.file}:{self.line} {self.title}"


@dataclass(frozen=True, slots=True)
class Request:
    """A request that can be sent: its placeholders are filled."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes | None


def shipped(dialect: str = "*", *, beyond: bool = True) -> list[Path]:
    """Return the conversation files of one dialect or of all, sorted; without `beyond`, only the vendors' pages."""
    pattern = f"{dialect}/conversations/*.http" if beyond else f"{dialect}/conversations/vendor_*.http"
    return sorted(Path(dialects.__file__).parent.glob(pattern))


def load(path: Path) -> Iterator[Exchange]:
    """Yield the exchanges of a file, in order."""
    text = path.read_text()
    for found in re.finditer(r"^### (.+)\n((?:(?!### ).*\n?)*)", text, re.MULTILINE):
        line = text.count("\n", 0, found.start()) + 1
        request, answer = re.split(r"^(?=HTTP/1\.1 )", found[2], maxsplit=1, flags=re.MULTILINE)
        yield Exchange(path.name, line, found[1], _message(request), _message(answer))


def _message(text: str) -> Message:
    head, _, body = text.strip("\n").partition("\n\n")
    start, *headers = head.split("\n")
    pairs = (header.partition(": ") for header in headers)
    return Message(start, tuple((name, value) for name, _, value in pairs), body.strip("\n"))


def recorded(exchange: Exchange) -> set[str]:
    """Return the names under which values of the answer are recorded."""
    texts = (exchange.answer.body, *(value for _, value in exchange.answer.headers))
    return {hole[1] for text in texts for hole in HOLE.finditer(text) if hole[2] and hole[1]}


def lacking(exchange: Exchange, known: Mapping[str, str]) -> set[str]:
    """Return the names of the values that the exchange needs and `known` does not have."""
    request, answer = exchange.request, exchange.answer
    asked = (request.start, request.body, *(value for _, value in request.headers))
    wanted = (answer.body, *(value for _, value in answer.headers if value != "{{absent}}"))
    needed = {hole[1] for text in asked for hole in HOLE.finditer(text)}
    needed |= {hole[1] for text in wanted for hole in HOLE.finditer(text) if not hole[2]} - recorded(exchange)
    return needed - set(known)


def filled(exchange: Exchange, known: Mapping[str, str]) -> Request:
    """Return the request of an exchange with its placeholders filled. Raises KeyError if a value is not known."""

    def fill(text: str) -> str:
        return HOLE.sub(lambda hole: known[hole[1]], text)

    request = exchange.request
    method, target, *_ = fill(request.start).split(" ")
    headers = [(name, fill(value)) for name, value in request.headers]
    body = fill(request.body).encode() or None
    if body and any(value.startswith("multipart/") for _, value in headers):
        body = body.replace(b"\n", b"\r\n")  # RFC 2046: lines of a multipart body end with CR LF
    return Request(method, target, headers, body)
