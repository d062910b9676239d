"""Replay of a dialect's conversations against a server. The outcome has every difference from the expected answers."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from service.remote.client import NEVER, THROTTLED, Remote, Unreachable
from service.verification import leftovers
from service.verification.comparison import Difference, differences
from service.verification.conversations import Exchange, Request, filled, lacking, load, recorded

IN_A_ROW = 3  # requests in a row without an answer, after which the server counts as unreachable


@dataclass(frozen=True, slots=True)
class Finding:
    """An exchange that was answered differently, or was not sent because it needs values that are not known."""

    conversation: str
    line: int
    title: str
    method: str
    path: str
    differences: list[Difference] = field(default_factory=list)
    lacks: list[str] = field(default_factory=list)


@dataclass
class Verification:
    """The outcome of all conversations."""

    dialect: str
    against: str
    conversations: int = 0
    exchanges: int = 0
    findings: list[Finding] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # names of missing values that only the caller can give

    @property
    def differing(self) -> list[Finding]:
        """Exchanges that were sent and answered differently."""
        return [finding for finding in self.findings if not finding.lacks]

    @property
    def unsent(self) -> list[Finding]:
        """Exchanges that could not be sent."""
        return [finding for finding in self.findings if finding.lacks]


def values(token: str | None, base: str, more: Mapping[str, str]) -> dict[str, str]:
    """Return the values that are known before the first exchange: credential, URL, two new names, and `more`."""
    known = {"here": base, "url": base, "user": uuid4().hex, "custom": uuid4().hex}
    if token:
        known |= {"token": token, "key": token}
    return {**known, **more}


def basic(token: str) -> dict[str, str]:
    """Return the Basic Authorization header for `user:password`."""
    return {"Authorization": f"Basic {b64encode(token.encode()).decode()}"}


async def verify(dialect: str, remote: Remote, paths: list[Path], known: Mapping[str, str]) -> Verification:
    """Replay each conversation on an empty project.

    Raises leftovers.Unusable if the project is not empty, and Unreachable if the server does not answer.
    """
    if found := await leftovers.left(dialect, remote, known):
        raise leftovers.Unusable(f"the project must be empty, but it has {found}")
    outcome = Verification(dialect, remote.base)
    for path in paths:
        outcome.conversations += 1
        await _replay(path, remote, dict(known), outcome)
        await leftovers.remove(dialect, remote, known)
    recordable = {name for path in paths for exchange in load(path) for name in recorded(exchange)}
    outcome.missing = sorted({name for finding in outcome.unsent for name in finding.lacks} - recordable)
    return outcome


async def _replay(path: Path, remote: Remote, known: dict[str, str], outcome: Verification) -> None:
    silent = 0
    for exchange in load(path):
        outcome.exchanges += 1
        if lacks := sorted(lacking(exchange, known)):
            method, target, *_ = exchange.request.start.split(" ")
            outcome.findings.append(_finding(exchange, method, target, lacks=lacks))
            continue
        request = filled(exchange, known)
        try:
            found = await _ask(exchange, request, remote, known)
            silent = 0
        except Unreachable as error:
            if (silent := silent + 1) == IN_A_ROW:
                raise
            found = [Difference("answer", exchange.answer.start, str(error))]
        if found:
            outcome.findings.append(_finding(exchange, request.method, request.target, found=found))


async def _ask(exchange: Exchange, request: Request, remote: Remote, known: dict[str, str]) -> list[Difference]:
    expected = exchange.answer.start.split(" ")[1]
    repeat = NEVER if expected == "429" else THROTTLED
    reply = await remote.ask(request.method, request.target, request.body, request.headers, repeat=repeat)
    body = reply.body.decode(errors="backslashreplace")
    return differences(exchange.answer, reply.status, reply.headers, body, known)


def _finding(
    exchange: Exchange,
    method: str,
    path: str,
    *,
    found: list[Difference] | None = None,
    lacks: list[str] | None = None,
) -> Finding:
    return Finding(exchange.file, exchange.line, exchange.title, method, path, found or [], lacks or [])
