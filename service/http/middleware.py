"""Steps around every handler, of every dialect and at either end: the caller before it, the last headers after it.

How a refusal reads is
the dialect's; here are the headers that HTTP wants beside it, what is measured, and what is logged.
"""

import logging
import re
from collections.abc import Callable
from typing import TypeVar
from uuid import uuid4

import orjson
from msgspec.structs import replace
from multidict import istr

from service.api import idempotency
from service.api.dialect import (
    Answer,
    Dialect,
    Failure,
    Headers,
    Request,
    Route,
    Service,
    Stream,
)
from service.api.refusal_headers import REQUEST_ID, refusal_headers
from service.http.cors import Cors
from service.metrics import Meter
from service.storage.access.directory import Caller
from service.storage.access.passwords import Passwords
from service.storage.errors import Refusal

log = logging.getLogger(__name__)

Reply = TypeVar("Reply", bound=Answer | Stream)

_request_id = istr(REQUEST_ID)  # to look it up takes 0.1 us so, 0.2 as a plain text
_lawful_id = re.compile(r"[A-Za-z0-9._-]{1,64}").fullmatch


class Middleware:
    def __init__(self, service: Service, meter: Meter) -> None:
        self.cors = Cors(service.settings.cors_origins)
        self._storage, self._directory, self._meter = service.storage, service.directory, meter
        self._passwords = Passwords(service.directory)
        self._logging = service.settings.access_log
        self._adorning = bool(service.settings.cors_origins) or self._logging

    async def handled(self, dialect: Dialect, route: Route, request: Request, path: str) -> Answer | Stream:
        """Let the caller in and the handler work; `path` as it was sent. Raises Refusal."""
        if not route.open:
            request.caller = await self.admit(dialect, request.headers)
            if dialect.depends is not None:
                request.declared = await self._directory.find_entry(dialect.name, *dialect.depends(request.caller))
        return await idempotency.handled(route.handler, request, path)

    async def admit(self, dialect: Dialect, headers: Headers) -> Caller:
        """Return the caller. Raises Unauthenticated, Throttled."""
        shown = dialect.credential(headers)
        if not isinstance(shown, str):
            return await self._passwords.caller(dialect.name, shown)
        caller = await self._directory.caller(dialect.name, shown)
        if caller.rate is not None:
            await self._storage.rates.throttle(dialect.name, caller.id, *caller.rate)
        return caller

    def refused(
        self, dialect: Dialect | None, params: tuple[str, ...], error: BaseException, method: str, headers: Headers
    ) -> Answer:
        """The dialect's way to say no. The cause of a fault of our own goes to the log, under the id that the client
        is told."""
        if (preflight := self.cors.preflight(method, headers)) is not None:
            return preflight
        request_id = _identify(headers)
        if not isinstance(error, Refusal):
            log.error("a request failed", exc_info=error, extra={"request_id": request_id})
            error = Failure("the service failed to answer")
        self._meter.refused(dialect.name if dialect else "", type(error).__name__)
        answer = dialect.refuse(error, params) if dialect else _refuse(error)
        return replace(answer, headers=(*answer.headers, *refusal_headers(error, dialect), (REQUEST_ID, request_id)))

    def answered(
        self, answer: Reply, dialect: Dialect | None, template: str, method: str, headers: Headers, seconds: float
    ) -> Reply | Answer:
        """Finish an answer: measure it, log it if the setting says so, add the last headers."""
        name = dialect.name if dialect else ""
        self._meter.observe(name, template, method, answer.status, seconds)
        if _request_id in headers and answer.status < 400:
            answer = replace(answer, headers=(*answer.headers, (REQUEST_ID, _identify(headers))))
        if self._adorning:
            answer = replace(answer, headers=(*answer.headers, *self.cors.shared(headers)))
            if self._logging:
                _log(answer, name, template, method, seconds)
        return answer

    def repeated(self, answer: Answer, dialect: Dialect, template: str, method: str) -> Callable[[float], None]:
        """Finish an answer that is given once more from the cache, after so many seconds."""
        add = self._meter.series(dialect.name, template, method, answer.status).add
        if not self._logging:
            return add

        said = replace(answer, body=b"")

        def both(seconds: float) -> None:
            add(seconds)
            _log(said, dialect.name, template, method, seconds)

        return both


def _identify(headers: Headers) -> str:
    """The client's own id of the request if it is lawful, else a new one."""
    given = headers.get(REQUEST_ID, "")
    return given if _lawful_id(given) else uuid4().hex


def _refuse(refusal: Refusal) -> Answer:
    """The way to say no where no dialect is spoken."""
    return Answer(refusal.status, orjson.dumps({"error": {"message": str(refusal)}}))


def _log(answer: Answer | Stream, dialect: str, template: str, method: str, seconds: float) -> None:
    fields = {
        "dialect": dialect,
        "route": template,
        "method": method,
        "status": answer.status,
        "seconds": round(seconds, 6),
    }
    log.info("request", extra={"request_id": dict(answer.headers).get(REQUEST_ID), "fields": fields})
