"""The refusals: every way in which storage refuses a request, named by meaning.

A dialect renders each refusal in its vendor's shape (`Dialect.refuse`). Storage raises nothing else, so a
handler needs no `try`. `word` is the word with which a Lua script refuses (`redis.error_reply("EXISTS ...")`),
None if no script does. `status` is the usual HTTP status; a vendor may use another one.
"""

from collections.abc import Iterator
from typing import ClassVar


class Refusal(Exception):
    """A request that is not carried out. `str()` of it may be shown to the client: it contains no secret."""

    word: ClassVar[str | None] = None
    status: ClassVar[int] = 500
    internal: ClassVar[bool] = False  # it never leaves storage: the operation handles it


class NotFound(Refusal):
    """The record is not there, or has expired."""

    word, status = "NOTFOUND", 404


class AlreadyExists(Refusal):
    """The record that was to be created is there already."""

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
    """The resource is not declared, so nobody may use it."""

    word = "UNDECLARED"


class Invalid(Refusal):
    """The request is malformed, or asks for something impossible."""

    word, status = "INVALID", 400


class Mismatched(Invalid):
    """The value cannot be appended to the stored one."""

    word = "MISMATCH"


class TooLarge(Refusal):
    """The body, or the record that it would make, is larger than the limit."""

    word, status = "TOOLARGE", 413


class Trimmed(Refusal):
    """A change after the cursor was removed from the journal, which keeps a limited number.

    `oldest` is the cursor from which all changes are there.
    """

    word, status = "TRIMMED", 410

    def __init__(
        self, oldest: str, message: str = "changes after this cursor are not kept any more; go on from the oldest"
    ) -> None:
        self.oldest = oldest
        super().__init__(message)


class UnknownCursor(Trimmed):
    """The journal does not have the change of the cursor.

    It never had it, or Redis lost the change in a failover, so the client may have changes that never came about.
    """

    word = "UNKNOWNCURSOR"

    def __init__(self, oldest: str) -> None:
        super().__init__(oldest, "the journal does not have the change of this cursor; copy the documents again")


class NoJournal(Refusal):
    """No journal is kept: the access document declares none."""

    status = 404


class Throttled(Refusal):
    """The caller's rate is used up.

    A request is let through `retry_after` seconds (a float) from now.
    """

    word, status = "THROTTLED", 429

    def __init__(self, microseconds: str) -> None:
        self.retry_after = int(microseconds) / 1_000_000
        super().__init__("rate limit exceeded")


class QuotaExceeded(Refusal):
    """The namespace's quota, or Redis's memory, has no space for this write."""

    word, status = "QUOTA", 429


class Unavailable(Refusal):
    """Redis cannot be reached or is overloaded, and nothing was done: repeating the request is safe."""

    status = 503


class NoMemoryForIndex(Unavailable):
    """Redis's memory is full, so the index that a list needs cannot be made."""


class OutcomeUnknown(Refusal):
    """A write was sent and not answered: it may have been carried out or not."""

    status = 503


class Reused(Refusal):
    """The idempotency key was used before, for another request."""

    word, status = "REUSED", 422


class Answered(Refusal):
    """The request was carried out before, and its reply is remembered."""

    word, internal = "ANSWERED", True


class Unregistered(Refusal):
    """The collection must be registered before this write."""

    word, internal = "UNREGISTERED", True


class OperationRefused(Refusal):
    """One operation of a batch is refused, so nothing is done.

    `operation` is its number, from 0; `cause` is the refusal that it alone would get.
    """

    word = "OPERATION"

    def __init__(self, text: str) -> None:
        number, word, sentence = text.split(" ", 2)
        self.operation, self.cause = int(number), BY_WORD[word](sentence)
        self.status = self.cause.status  # type: ignore[misc]
        super().__init__(f"operations[{number}]: {self.cause}")

    @staticmethod
    def of(operation: int, cause: Refusal) -> "OperationRefused":
        """Return the refusal of an operation for a cause that has a word."""
        return OperationRefused(f"{operation} {cause.word} {cause}")


class SweepNeeded(Refusal):
    """Expired members must be swept before this page can be read."""

    word, internal = "SWEEPNEEDED", True


class Incomplete(Refusal):
    """The index must be filled before this page can be read."""

    word, internal = "INCOMPLETE", True


class OverBudget(Refusal):
    """A merge or append would hold Redis for too long; it has to be done in the worker."""

    word, internal = "OVERBUDGET", True


class OutdatedGrants(Refusal):
    """The stored grants come from a newer `revision` of the access document."""

    word, internal = "OUTDATED", True

    def __init__(self, revision: str) -> None:
        self.revision = int(revision)
        super().__init__("the stored grants come from a newer revision of the access document")


class StagingExpired(Refusal):
    """A staged body expired before it was published."""

    word, internal = "GONE", True


def _below(kind: type[Refusal]) -> Iterator[type[Refusal]]:
    for each in kind.__subclasses__():
        yield from (each, *_below(each))


BY_WORD: dict[str, type[Refusal]] = {kind.word: kind for kind in _below(Refusal) if kind.word is not None}
