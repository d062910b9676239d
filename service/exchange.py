"""One request on the fast path, from its command to its answer."""

import logging
from asyncio import get_running_loop
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from service.dialect import Answer, Dialect, Direct, Request
from service.heads import Head, target
from service.redis.errors import Failed
from service.rendering import rendered
from service.storage.directory import Caller
from service.storage.keys import plain
from service.storage.runner import refusal, repairable

if TYPE_CHECKING:
    from service.app import App
    from service.hot import HotConnection

MEANINGS = 32  # of request lines, kept for each head; afresh beyond that

log = logging.getLogger(__name__)


def _untold(reply: Any) -> Answer:
    raise RuntimeError("a reply came that nothing was asked for")


class Exchange(Struct):
    """One request and its command; to the lane it is the command's outcome, as a future would be.

    Invariant: it ends exactly once, and whatever fails on the way fails for this request alone.
    """

    connection: "HotConnection"
    app: "App"
    dialect: Dialect
    template: str  # the route's
    direct: Direct
    request: Request
    started: float  # perf_counter()
    body: bytes
    over: bool = False
    tell: Callable[[Any], Answer] = _untold

    def ask(self) -> bool:
        """Send the command, if one is enough."""
        try:
            asked = self.direct(self.request, self.body)
            if asked is None:
                return False
            command, self.tell = asked
            self.app.redis.send(self, command.packed(), key=command.key, write=command.write)
        except Exception as error:
            self.set_exception(error)
        return True

    def done(self) -> bool:
        return self.over

    def set_result(self, reply: Any) -> None:
        """The reply is here: answer at once, in the midst of the reading of replies."""
        try:
            response = self._response(self.tell(reply))
        except Exception as error:
            self.set_exception(error)
        else:
            self.over = True
            self.connection.end(response)

    def set_exception(self, error: Exception) -> None:
        """It failed. What comes of it may send again, so it must wait until the queues are at rest."""
        self.over = True
        get_running_loop().call_soon(self._fail, error)

    def _fail(self, error: Exception) -> None:
        if repairable(error):
            self.connection.break_off(self.body)
            return
        if isinstance(error, Failed):
            error = refusal(error)
        response = b""
        try:
            params, headers = self.request.params, self.request.headers
            response = self._response(self.app.middleware.refused(self.dialect, params, error, headers))
        except Exception:
            log.exception("a refusal cannot be told")
            self.connection.close()
        self.connection.end(response)

    def _response(self, answer: Answer) -> bytes:
        app, request = self.app, self.request
        answer = app.middleware.answered(
            answer, self.dialect, self.template, request.method, request.headers, self.started
        )
        return rendered(answer, closing=app.draining)


class Meaning(Struct):
    """What a request line means under one head, whatever the last segment of its path, which is a parameter. Good while
    the directory's era is the one in which it was found: the caller is known by it."""

    era: int
    dialect: Dialect
    template: str
    direct: Direct
    method: str
    params: tuple[str, ...]  # but for the last
    caller: Caller


def recognised(connection: "HotConnection", app: "App", head: Head, line: bytes, body: bytes) -> Exchange | None:
    """The exchange that begins with a message that the parser did not see, if it is one for this path."""
    start, _, last = line[:-9].rpartition(b"/")
    service = app.service
    meaning: Meaning | None = head.meanings.get(start)
    if (
        meaning is None or meaning.era != service.directory.era or app.draining
        or line[-9:] != b" HTTP/1.1" or not (last.isalnum() or plain(last))
    ):  # fmt: skip
        found = target(line)
        return None if found is None else begun(connection, app, head, *found, body, start)
    params = (*meaning.params, last.decode())
    request = Request(meaning.method, params, "", head.headers, _arrived, meaning.caller, service)
    return Exchange(connection, app, meaning.dialect, meaning.template, meaning.direct, request, perf_counter(), body)


def begun(
    connection: "HotConnection", app: "App", head: Head, method: str, target: str, body: bytes = b"", start: bytes = b""
) -> Exchange | None:
    """The exchange that begins with this message, if it is one for this path. `start` is how its line begins where what
    it means is to be kept."""
    path, _, query = target.partition("?")
    try:
        dialect, route, params = app.router.find(method, path)
        direct = route.direct
        if direct is None or method == "HEAD" or app.draining or (head.once and method != "GET"):
            return None
        caller = app.middleware.known(dialect, head.headers)
    except Exception:  # the ordinary path meets it too, and says it
        return None
    if caller is None:
        return None
    era = app.service.directory.era
    if start and not query and era is not None and caller.expires is None and app.router.varies(path):
        if len(head.meanings) >= MEANINGS:
            head.meanings.clear()
        head.meanings[start] = Meaning(era, dialect, route.template, direct, method, params[:-1], caller)
    request = Request(method, params, query, head.headers, _arrived, caller, app.service)
    return Exchange(connection, app, dialect, route.template, direct, request, perf_counter(), body)


async def _arrived(limit: int) -> bytes:
    raise RuntimeError("a direct route is given the body")
