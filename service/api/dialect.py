"""The contract between the service and a dialect: what a handler is given, what it answers, what a dialect is.

A dialect is one module in `service/dialects/` with a `DIALECT`; it is found by discovery. Its handlers are three steps:
understand the request, one storage call, answer. They know neither aiohttp nor Redis.

What is made for each request is a msgspec Struct: 0.1 us for one of seven fields, a dataclass takes 0.5.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl
from uuid import uuid4

import msgspec
from multidict import MultiMapping

from service.api.description import JSON as JSON
from service.api.description import Api, Description
from service.settings import Settings
from service.storage.access.directory import Caller, Directory
from service.storage.access.passwords import ANYONE
from service.storage.access.passwords import Password as Password
from service.storage.errors import Invalid, Refusal, Unauthenticated
from service.storage.root import Storage
from service.storage.scripts.idempotency import Idempotency

Headers = MultiMapping[str]

_is_unescaped = re.compile(r"[A-Za-z0-9_.~=&-]*").fullmatch  # a query string in which nothing is escaped
_bearer = re.compile(r"(?i:bearer) +([!-~]+) *").fullmatch

BODILESS = frozenset((204, 304))  # statuses whose answer has no body (RFC 9110, section 6.4.1)


class NoSuchPath(Refusal):
    """No route has this path."""

    status = 404


class NoSuchMethod(Refusal):
    """The path is served, but not with this method; `allowed` are the methods that it has."""

    status = 405

    def __init__(self, allowed: Iterable[str]) -> None:
        self.allowed = ", ".join(sorted(allowed))
        super().__init__(f"this path allows {self.allowed}")


class Unsupported(Invalid):
    """The body is of a content type, or in a content coding, that is not understood here.

    `accepted` are the codings that are understood, where the coding is what is wrong.
    """

    status = 415

    def __init__(self, message: str, *, accepted: str = "") -> None:
        self.accepted = accepted
        super().__init__(message)


class Failure(Refusal):
    """A fault of the service's own; its cause is in the log, under the request's id."""


class Answer(msgspec.Struct):
    """A whole response. `headers` may hold what came from outside: the middleware checks the values."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class Stream(msgspec.Struct):
    """A response that is asked for piece by piece, as fast as the client reads; `length` in bytes, None: unknown.

    A refusal after the first piece can only cut the connection: the client sees an incomplete body, never a short one.
    """

    status: int
    pieces: AsyncIterator[bytes]
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """The settings and stores that all requests of a worker share."""

    settings: Settings
    storage: Storage
    directory: Directory


class Body(Protocol):
    """A request's body, to be read once, in either way."""

    @property
    def complete(self) -> bool:
        """All of it has arrived, and `pieces` yields it as one."""
        ...

    async def read(self, limit: int) -> bytes:
        """All of it. Raises TooLarge as soon as it is over that many bytes, Invalid, Unavailable."""
        ...

    def pieces(self, limit: int) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises what `read` raises."""
        ...


class Request(msgspec.Struct):
    """One request, as a handler sees it. Header names are looked up without regard to case."""

    method: str
    params: tuple[str, ...]  # the path's parameters, decoded, in the order of the template
    query_string: str
    headers: Headers
    body: Body
    service: Service
    caller: Caller = ANYONE
    declared: Mapping[str, Any] | None = None  # the entry that the dialect's requests depend on (`Dialect.depends`)
    idempotency: Idempotency | None = None  # the request itself, where it is to be carried out once

    def query(self) -> dict[str, str]:
        """Return the query's parameters, decoded: of a repeated one the last, and an empty one is absent. Raises
        Invalid (not UTF-8)."""
        if not self.query_string:
            return {}
        try:
            if _is_unescaped(self.query_string):  # for this it takes half of the time
                pairs = [pair.partition("=") for pair in self.query_string.split("&")]
                return {name: value for name, _, value in pairs if value}
            return dict(parse_qsl(self.query_string, errors="strict"))
        except UnicodeDecodeError:
            raise Invalid("the query string is not UTF-8") from None

    async def fresh_id(self) -> str:
        """An id for what the request makes, 32 hexadecimal digits; the same one when it is repeated."""
        return (
            uuid4().hex if self.idempotency is None else self.idempotency.id(await self.service.storage.secret.read())
        )

    def base(self) -> str:
        """Scheme and host for the URLs in an answer. Raises Invalid (HTTP/1.0 without `Host`)."""
        if (configured := self.service.settings.public_url) is not None:
            return configured
        if "Host" not in self.headers:
            raise Invalid("the header Host is missing, which the URLs of the answer need")
        return f"http://{self.headers['Host']}"


def single(headers: Headers, name: str, refusal: type[Refusal]) -> str:
    """The value of a header that may be given only once, "" where it is absent. Raises `refusal`."""
    values = headers.getall(name, ())
    if len(values) > 1:
        raise refusal(f"the header {name} may be given only once")
    return values[0] if values else ""


def bearer(headers: Headers, needed: str) -> str:
    """The token of `Authorization: Bearer TOKEN`. Raises Unauthenticated, which says what is needed."""
    if (found := _bearer(single(headers, "Authorization", Unauthenticated))) is None:
        raise Unauthenticated(needed)
    return found[1]


Handling = Coroutine[Any, Any, Answer | Stream]
Handler = Callable[[Request], Handling]


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path template whose `{name}` segments are parameters."""

    method: str
    template: str
    handler: Handler
    described: Description | None
    open: bool = False  # who calls does not matter: what the request carries is the permission


class Routes(list[Route]):
    """The routes of a dialect, each declared beside its handler, whose docstring describes it."""

    def route(
        self, method: str, template: str, *, described: Description | None = None, open: bool = False
    ) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            self.append(Route(method, template, handler, described, open))
            return handler

        return add


@dataclass(frozen=True, slots=True)
class Dialect:
    """One vendor's API."""

    name: str
    docs: str  # the vendor's own page
    prefixes: tuple[str, ...]  # paths below these are refused in this dialect's shape
    routes: Routes
    # The token in the headers, or a user's name and password; raises Unauthenticated. None where they show nothing,
    # which is for dialects that are open to all until passwords are declared.
    credential: Callable[[Headers], str | Password | None]
    refuse: Callable[[Refusal, tuple[str, ...]], Answer]  # the vendor's way to say no; with the path's parameters
    # Its section of the access document; `changes()` of one are what it declares: Token, Entry and Login.
    access: type[msgspec.Struct]
    api: Api | None = None  # what its OpenAPI document says of all routes
    challenge: str = "Bearer"  # how a credential is to be shown (RFC 9110, section 11.6.1)
    # Kind and id of the directory's entry on which all requests of a caller depend: it is handed to handlers.
    depends: Callable[[Caller], tuple[str, str]] | None = None
    cache_control: str = "private, no-cache"  # who may keep an answer
    vary: str = "Authorization"  # the headers of a request on which the answer depends
    others: tuple[tuple[str, str], ...] = ()  # headers that the vendor's answers have besides
    signs: bool = False  # does it hand out signed URLs? Then it needs a signing key
    merges_slashes: bool = False  # is `//` below its prefixes the same as `/`?
    # What follows from such a section once its entries are written: grants. It is safe to repeat, as all of an apply.
    follow: Callable[[Any, Directory, Storage], Awaitable[None]] | None = None
    # By namespace of collections with grants: the kind of the links from a subject to those that it may read, for fsck.
    readers: Mapping[str, str] = field(default_factory=dict)

    headers: tuple[tuple[str, str], ...] = field(init=False)  # of every answer, refusals included
    lines: str = field(init=False)  # these headers, as they are sent

    def __post_init__(self) -> None:
        headers = (
            ("Cache-Control", self.cache_control),
            ("Vary", self.vary),
            ("X-Content-Type-Options", "nosniff"),
            *self.others,
        )
        object.__setattr__(self, "headers", headers)
        object.__setattr__(self, "lines", "".join(f"{name}: {value}\r\n" for name, value in headers))
