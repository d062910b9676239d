"""One request on the fast path, from its command to its answer."""

import logging
from asyncio import get_running_loop
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from service.dialect import Answer, Dialect, Direct, Request
from service.heads import Message
from service.redis.errors import Failed
from service.rendering import rendered
from service.storage.runner import refusal, repairable

if TYPE_CHECKING:
    from service.app import App
    from service.hot import HotConnection

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
            self.app.redis.send(self, command.args, key=command.key, write=command.write)
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
            return
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


def begun(connection: "HotConnection", app: "App", message: Message) -> Exchange | None:
    """The exchange that a message begins, if it is one for this path."""
    method, target, head, body = message
    path, _, query = target.partition("?")
    try:
        dialect, route, params = app.router.find(method, path)
        direct = route.direct
        if direct is None or method == "HEAD" or app.draining or (head.once and method != "GET"):
            return None
        caller = app.middleware.known(dialect, head)
    except Exception:  # the ordinary path meets it too, and says it
        return None
    if caller is None:
        return None
    request = Request(method, params, query, head.headers, _arrived, caller, app.service)
    return Exchange(connection, app, dialect, route.template, direct, request, perf_counter(), body)


async def _arrived(limit: int) -> bytes:
    raise RuntimeError("a direct route is given the body")
