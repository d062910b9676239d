"""The refusals: every way in which storage says no, named by meaning.

A dialect renders each of them in its vendor's shape (`Dialect.refuse`); nothing else leaves storage, so a handler needs
no `try`. `word` is how a Lua script says the same thing (`redis.error_reply("EXISTS ...")`), None where none does;
`status` is the usual status in HTTP, from which a vendor may differ.
"""

from collections.abc import Iterator
from typing import ClassVar


class Refusal(Exception):
    """A request that is not carried out. `str()` of it may be shown to the client: it holds no secret."""

    word: ClassVar[str | None] = None
    status: ClassVar[int] = 500
    internal: ClassVar[bool] = False  # it never leaves storage: the operation has another way


class NotFound(Refusal):
    """The record is not there, or has expired."""

    word, status = "NOTFOUND", 404


class AlreadyExists(Refusal):
    """A record that was to be created is there."""

    word, status = "EXISTS", 409


class Changed(Refusal):
    """A condition on the record's state does not hold (RFC 9110, section 13)."""

    word, status = "CHANGED", 412


class Unauthenticated(Refusal):
    """The credential is missing, unknown, malformed, or has `expired`."""

    status = 401

    def __init__(self, message: str, *, expired: bool = False) -> None:
        self.expired = expired
        super().__init__(message)


class Denied(Refusal):
    """The caller may not do this here."""

    word, status = "DENIED", 403


class Undeclared(Denied):
    """Nor may anybody else: the resource was never declared, or was removed."""

    word = "UNDECLARED"


class Invalid(Refusal):
    """The request cannot be understood, or asks for something that cannot be."""

    word, status = "INVALID", 400


class Mismatched(Invalid):
    """The value cannot be appended to what is there."""

    word = "MISMATCH"


class TooLarge(Refusal):
    """The body, or what it would make of the record, is over the limit."""

    word, status = "TOOLARGE", 413


class Throttled(Refusal):
    """The caller's rate is used up.

    `retry_after` seconds (a float) from now a request is let through.
    """

    word, status = "THROTTLED", 429

    def __init__(self, microseconds: str) -> None:
        self.retry_after = int(microseconds) / 1_000_000
        super().__init__("rate limit exceeded")


class QuotaExceeded(Refusal):
    """The namespace's quota, or the store's memory, has no room for this write."""

    word, status = "QUOTA", 429


class Unavailable(Refusal):
    """Redis is away or overloaded, and nothing was done: asking again is safe."""

    status = 503


class OutcomeUnknown(Refusal):
    """A write was sent and not answered: it may have been carried out or not."""

    status = 503


class Reused(Refusal):
    """The idempotency key was used before, for another request."""

    word, status = "REUSED", 422


class Answered(Refusal):
    """A write was done before, by the same request: what it was told is remembered."""

    word, internal = "ANSWERED", True


class Unregistered(Refusal):
    """The collection must be named in its registry before this write."""

    word, internal = "UNREGISTERED", True


class SweepNeeded(Refusal):
    """Expired members must be swept before this page can be told."""

    word, internal = "SWEEPNEEDED", True


class OverBudget(Refusal):
    """A merge that would hold Redis for too long, to be done in the worker."""

    word, internal = "OVERBUDGET", True


class OutdatedGrants(Refusal):
    """Grants that follow from less than those that are there: of what `revision` those are."""

    word, internal = "OUTDATED", True

    def __init__(self, revision: str) -> None:
        self.revision = int(revision)
        super().__init__("who may do what was changed meanwhile")


class StagingExpired(Refusal):
    """A staged body expired before it was published."""

    word, internal = "GONE", True


def _below(kind: type[Refusal]) -> Iterator[type[Refusal]]:
    for each in kind.__subclasses__():
        yield from (each, *_below(each))


BY_WORD: dict[str, type[Refusal]] = {kind.word: kind for kind in _below(Refusal) if kind.word is not None}
