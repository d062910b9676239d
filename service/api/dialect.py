"""The contract between the service and a dialect: the request that a handler gets, its answer, and `Dialect` itself.

A dialect is one module or package in `service/dialects/` with a `DIALECT`; it is found by discovery. Each handler has
three steps: understand the request, call storage once, answer. Handlers know neither aiohttp nor Redis.

Objects that are made for each request are msgspec Structs: one with seven fields takes 0.1 us, a dataclass 0.5 us.
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
from service.storage.feed.follower import Follower, Followers
from service.storage.root import Storage
from service.storage.scripts.identity import Idempotency

Headers = MultiMapping[str]

_is_unescaped = re.compile(r"[A-Za-z0-9_.~=&-]*").fullmatch  # a query string without percent-encoding
_bearer = re.compile(r"(?i:bearer) +([!-~]+) *").fullmatch

BODILESS = frozenset((204, 304))  # statuses of answers without a body (RFC 9110, section 6.4.1)


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
    """A whole response. Header values may come from a request: they are checked when the response is rendered."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class Stream(msgspec.Struct):
    """A response that is sent piece by piece, as fast as the client reads. `length` is in bytes; None means unknown.

    A failure after the first piece closes the connection: the client sees an incomplete body, never one that looks
    complete and is too short.
    """

    status: int
    pieces: AsyncIterator[bytes]
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    length: int | None = None
    follower: Follower | None = None  # set if the stream follows events; its head is sent before the first one


@dataclass(frozen=True, slots=True)
class Service:
    """The settings and stores that all requests of a worker share."""

    settings: Settings
    storage: Storage
    directory: Directory
    followers: Followers


class Body(Protocol):
    """The body of a request. It can be read once: with `read` or with `pieces`."""

    @property
    def complete(self) -> bool:
        """True if the whole body has arrived; `pieces` then yields it as one piece."""
        ...

    async def read(self, limit: int) -> bytes:
        """Return the whole body. Raises TooLarge as soon as it has more than `limit` bytes, Invalid, Unavailable."""
        ...

    def pieces(self, limit: int) -> AsyncIterator[bytes]:
        """Yield the body as it arrives. Raises TooLarge, Invalid, Unavailable, like `read`."""
        ...


class Request(msgspec.Struct):
    """One request, as a handler sees it. Header names are case-insensitive."""

    method: str
    params: tuple[str, ...]  # path parameters, decoded, in the order of the template
    query_string: str
    headers: Headers
    body: Body
    service: Service
    caller: Caller = ANYONE
    declared: Mapping[str, Any] | None = None  # the directory entry that `Dialect.depends` names
    idempotency: Idempotency | None = None  # the identity of a request with an Idempotency-Key
    follower: Follower | None = None  # if the handler waits for events
    left: bool = False  # the client has left

    def follow(self, follower: Follower) -> None:
        """Let the handler wait for events with this follower. It ends when the client leaves, or at once if it has."""
        self.follower = follower
        if self.left:
            follower.leave()

    def leave(self) -> None:
        """Note that the client has left."""
        self.left = True
        if self.follower is not None:
            self.follower.leave()

    def query(self, *kept: str) -> dict[str, str]:
        """Return the query parameters, decoded. The last of repeated parameters counts; empty ones are left out, except
        those that are `kept`.

        Raises Invalid if the query is not UTF-8.
        """
        if not self.query_string:
            return {}
        try:
            if _is_unescaped(self.query_string):  # takes half the time of parse_qsl
                pairs = [pair.partition("=") for pair in self.query_string.split("&")]
                return {name: value for name, _, value in pairs if value or name in kept}
            found = parse_qsl(self.query_string, keep_blank_values=bool(kept), errors="strict")
            return {name: value for name, value in found if value or name in kept}
        except UnicodeDecodeError:
            raise Invalid("the query string must be UTF-8, percent-encoded") from None

    async def fresh_id(self) -> str:
        """Return an id for a new record, 32 hexadecimal digits. A repeated request with its Idempotency-Key gets the
        id of the first one."""
        return (
            uuid4().hex if self.idempotency is None else self.idempotency.id(await self.service.storage.secret.read())
        )

    def base(self) -> str:
        """Return the scheme and host for URLs in an answer. Raises Invalid for HTTP/1.0 without a `Host` header."""
        if (configured := self.service.settings.public_url) is not None:
            return configured
        if "Host" not in self.headers:
            raise Invalid("the header Host is missing: the URLs in the answer need it")
        return f"http://{self.headers['Host']}"


def single(headers: Headers, name: str, refusal: type[Refusal]) -> str:
    """Return the value of a header, "" if it is absent. Raises `refusal` if the header occurs more than once."""
    values = headers.getall(name, ())
    if len(values) > 1:
        raise refusal(f"the header {name} may be given only once")
    return values[0] if values else ""


def bearer(headers: Headers, needed: str) -> str:
    """Return the token of `Authorization: Bearer TOKEN` (RFC 6750). Raises Unauthenticated with the text `needed`."""
    if (found := _bearer(single(headers, "Authorization", Unauthenticated))) is None:
        raise Unauthenticated(needed)
    return found[1]


Handling = Coroutine[Any, Any, Answer | Stream]
Handler = Callable[[Request], Handling]


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path template, whose `{name}` segments are parameters, with the handler of their requests."""

    method: str
    template: str
    handler: Handler
    described: Description | None
    open: bool = False  # no caller is looked up: the request itself carries its permission (a signed URL)


class Routes(list[Route]):
    """The routes of a dialect. `route` is the decorator that adds a handler; its docstring describes the route."""

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
    docs: str  # URL of the vendor's own page
    prefixes: tuple[str, ...]  # refusals of paths below these are rendered by this dialect
    routes: Routes
    # Reads the credential from the headers: a token, or a user's name and password. Returns None if there is none, for
    # dialects that are open to everybody until passwords are declared. Raises Unauthenticated.
    credential: Callable[[Headers], str | Password | None]
    # Renders a refusal as the vendor does, given the path parameters.
    refuse: Callable[[Refusal, tuple[str, ...]], Answer]
    # The type of the dialect's section of the access document; its `changes()` yields each Token, Entry and Login.
    access: type[msgspec.Struct]
    api: Api | None = None  # the part of the OpenAPI document that all routes share
    challenge: str = "Bearer"  # the scheme in WWW-Authenticate (RFC 9110, section 11.6.1)
    # Returns the kind and id of the directory entry that every request of a caller needs: `Request.declared`.
    depends: Callable[[Caller], tuple[str, str]] | None = None
    cache_control: str = "private, no-cache"  # the header Cache-Control of every answer
    # The header Vary of every answer: the request headers on which it depends, also that of the credential. With CORS,
    # browsers may send them.
    vary: str = "Authorization"
    more_headers: tuple[tuple[str, str], ...] = ()  # further headers of every answer
    signs: bool = False  # True if it issues signed URLs: a signing key is then required
    merges_slashes: bool = False  # True if `//` below its prefixes means `/`
    # Stores the grants that a section declares, after its entries are written. It may be repeated, like a whole apply.
    apply_grants: Callable[[Any, Directory, Storage], Awaitable[None]] | None = None
    # For fsck, by namespace of collections with grants: the kind of the links from a subject to what it may read.
    readers: Mapping[str, str] = field(default_factory=dict)
    # Kinds of directory entries that are exported only with the credentials: tokens, quotas.
    private: frozenset[str] = frozenset({"token", "named"})

    headers: tuple[tuple[str, str], ...] = field(init=False)  # headers of every answer, refusals included
    lines: str = field(init=False)  # these headers as header lines

    def __post_init__(self) -> None:
        headers = (
            ("Cache-Control", self.cache_control),
            ("Vary", self.vary),
            ("X-Content-Type-Options", "nosniff"),
            *self.more_headers,
        )
        object.__setattr__(self, "headers", headers)
        object.__setattr__(self, "lines", "".join(f"{name}: {value}\r\n" for name, value in headers))
