"""Steps around a request's handler: its caller before it; metrics, logs and common headers after it.

The dialect renders the body of a refusal; the headers that HTTP requires of one are added here. A header that every
answer must have, of all dialects, is added in `Middleware.finish`; one that is fixed for a dialect is in
`Dialect.headers`.
"""

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar
from uuid import uuid4

import orjson
from msgspec.structs import replace
from multidict import istr

from service.api import idempotency
from service.api.dialect import (
    Answer,
    Body,
    Dialect,
    Failure,
    Headers,
    Password,
    Request,
    Route,
    Service,
    Stream,
)
from service.api.refusal_headers import REQUEST_ID, refusal_headers
from service.http.cors import Cors
from service.metrics import Meter
from service.storage.access.directory import Caller, Directory
from service.storage.access.passwords import Passwords
from service.storage.errors import Refusal, Unauthenticated

log = logging.getLogger(__name__)

Reply = TypeVar("Reply", bound=Answer | Stream)

_request_id = istr(REQUEST_ID)  # an `istr` is looked up in 0.1 us, a `str` in 0.2 us
_lawful_id = re.compile(r"[A-Za-z0-9._-]{1,64}").fullmatch


class ConfirmedBody:
    """A body that arrives slowly: meanwhile its caller may be revoked, or its project or extension declared again.

    It may take minutes to arrive, and the write is carried out after that. So `confirm` is called whenever the access
    directory has changed meanwhile.
    """

    complete = False

    def __init__(
        self, body: Body, directory: Directory, generation: int | None, confirm: Callable[[], Awaitable[None]]
    ) -> None:
        self._body, self._directory, self._generation, self._confirm = body, directory, generation, confirm

    async def read(self, limit: int) -> bytes:
        body = await self._body.read(limit)
        await self._check()
        return body

    async def pieces(self, limit: int) -> AsyncIterator[bytes]:
        async for piece in self._body.pieces(limit):
            await self._check()
            yield piece

    async def _check(self) -> None:
        generation = self._directory.generation
        if generation is None or generation != self._generation:
            await self._confirm()
            self._generation = generation


class Middleware:
    """The steps around handlers, for one worker."""

    def __init__(self, service: Service, dialects: Sequence[Dialect], meter: Meter) -> None:
        self.cors = Cors(service.settings.cors_origins, dialects)
        self._storage, self._directory, self._meter = service.storage, service.directory, meter
        self._passwords = Passwords(service.directory)
        self._logging = service.settings.access_log
        self._has_extras = bool(service.settings.cors_origins) or self._logging

    async def handle(self, dialect: Dialect, route: Route, request: Request, path: str) -> Answer | Stream:
        """Authenticate the caller and call the handler. `path` is the path as it was sent. Raises Refusal."""
        if not route.open:
            generation = self._directory.generation
            request.caller = caller = await self.authenticate(dialect, request.headers)
            if not request.body.complete:
                again = partial(self._confirm, dialect, request, caller)
                request.body = ConfirmedBody(request.body, self._directory, generation, again)
            await self._declare(dialect, request)
        return await idempotency.handled(route.handler, request, path)

    async def authenticate(self, dialect: Dialect, headers: Headers) -> Caller:
        """Return the caller whose credential the headers hold. Raises Unauthenticated, Throttled."""
        shown = dialect.credential(headers)
        caller = await self._known(dialect, shown)
        if caller.rate is not None:
            await self._storage.rates.throttle(dialect.name, caller.id, *caller.rate)
        return caller

    def _known(self, dialect: Dialect, shown: str | Password | None) -> Awaitable[Caller]:
        if isinstance(shown, str):
            return self._directory.caller(dialect.name, shown)
        return self._passwords.caller(dialect.name, shown)

    async def _confirm(self, dialect: Dialect, request: Request, caller: Caller) -> None:
        """Look up again what the access directory has for a request.

        Raises Unauthenticated if its credential does not belong to this caller any more.
        """
        found = await self._known(dialect, dialect.credential(request.headers))
        if (found.id, found.claims) != (caller.id, caller.claims):
            raise Unauthenticated("the credential was changed while the body arrived")
        await self._declare(dialect, request)

    async def _declare(self, dialect: Dialect, request: Request) -> None:
        """Pass the directory entry that every request of the dialect needs to this one."""
        if dialect.depends is not None:
            request.declared = await self._directory.find_entry(dialect.name, *dialect.depends(request.caller))

    def refuse(
        self, dialect: Dialect | None, params: tuple[str, ...], error: BaseException, method: str, headers: Headers
    ) -> Answer:
        """Render a refusal in the dialect's format. An unexpected error is logged with the request id of the answer."""
        if (preflight := self.cors.preflight(method, headers)) is not None:
            return preflight
        request_id = _identify(headers)
        if not isinstance(error, Refusal):
            log.error("a request failed", exc_info=error, extra={"request_id": request_id})
            error = Failure("the service failed to answer")
        self._meter.refused(dialect.name if dialect else "", type(error).__name__)
        answer = dialect.refuse(error, params) if dialect else _refuse(error)
        return replace(answer, headers=(*answer.headers, *refusal_headers(error, dialect), (REQUEST_ID, request_id)))

    def finish(
        self, answer: Reply, dialect: Dialect | None, template: str, method: str, headers: Headers, seconds: float
    ) -> Reply | Answer:
        """Finish an answer: count it, log it if the access log is on, add the common headers.

        Every answer passes here. The read cache may send it again, so the added headers must also be right for later
        requests.
        """
        name = dialect.name if dialect else ""
        self._meter.observe(name, template, method, answer.status, seconds)
        if _request_id in headers and answer.status < 400:
            answer = replace(answer, headers=(*answer.headers, (REQUEST_ID, _identify(headers))))
        if self._has_extras:
            answer = replace(answer, headers=(*answer.headers, *self.cors.shared(headers)))
            if self._logging:
                _log(answer, name, template, method, seconds)
        return answer

    def cached_counter(self, answer: Answer, dialect: Dialect, template: str, method: str) -> Callable[[float], None]:
        """Return a function that counts and logs this answer each time the read cache gives it; it takes seconds."""
        add = self._meter.series(dialect.name, template, method, answer.status).add
        if not self._logging:
            return add

        logged = replace(answer, body=b"")

        def count(seconds: float) -> None:
            add(seconds)
            _log(logged, dialect.name, template, method, seconds)

        return count


def _identify(headers: Headers) -> str:
    """Return the client's X-Request-Id if it is valid, else a new id."""
    given = headers.get(REQUEST_ID, "")
    return given if _lawful_id(given) else uuid4().hex


def _refuse(refusal: Refusal) -> Answer:
    """Render a refusal of a path that belongs to no dialect."""
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
