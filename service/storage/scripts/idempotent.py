"""A decorator that makes operations idempotent: a repeated request gets the remembered reply of the first one.

The script that commits a write remembers its reply in the same step (lua/include/once.lua). A request commits once in a
collection: of an operation with several steps, only the last one is such a script.
"""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import msgpack

from service.storage import keys
from service.storage.errors import Answered, OutcomeUnknown, Refusal, Reused, Unavailable
from service.storage.keys import Collection
from service.storage.scripts.identity import Idempotency
from service.storage.scripts.runner import Runner


class HasRunner(Protocol):
    """An object with idempotent operations."""

    _runner: Runner


class HasTarget(Protocol):
    """The part of a write (service/storage/records/write.py) that the decorator needs."""

    collection: Collection
    idempotency: Idempotency | None


P = ParamSpec("P")
S = TypeVar("S", bound=HasRunner)
T = TypeVar("T")
Target = TypeVar("Target", bound=HasTarget | list[Collection])
Operation = Callable[Concatenate[S, Target, P], Coroutine[Any, Any, T]]
Decorator = Callable[[Operation[S, Target, P, T]], Operation[S, Target, P, T]]


def idempotent(decode: Callable[[Any, bytes], T]) -> Decorator[S, Target, P, T]:
    """Decorate an operation so that a repeated request is answered from the remembered reply of the first one.

    The operation's first parameter is a write, which has the request's idempotency; or a list of collections of which
    one is written to, and then the operation has a keyword parameter `idempotency`. `decode` makes the operation's
    result from the committing script's reply and `Idempotency.remark`. The decorated operation also raises Reused.

    A request whose body is still arriving can be compared only at the end of the body. After a refusal the reply is
    looked up again, because the same request may have been carried out elsewhere.
    """

    def decorate(operation: Operation[S, Target, P, T]) -> Operation[S, Target, P, T]:
        async def repeat(self: S, target: Target, idempotency: Idempotency, /, *args: P.args, **more: P.kwargs) -> T:
            if (found := await _remembered(self._runner, target, idempotency)) is not None:
                return decode(*found)
            try:
                return await operation(self, target, *args, **more)
            except (Unavailable, OutcomeUnknown):
                raise
            except Refusal as refusal:
                idempotency.whole |= isinstance(refusal, Answered)
                if (found := await _remembered(self._runner, target, idempotency)) is not None:
                    return decode(*found)
                if isinstance(refusal, Answered):  # the remembered reply expired in between
                    raise Unavailable("the store did not answer in time; nothing was done") from None
                raise

        @wraps(operation)
        def run(self: S, target: Target, /, *args: P.args, **more: P.kwargs) -> Coroutine[Any, Any, T]:
            idempotency = more.get("idempotency") if isinstance(target, list) else target.idempotency
            if isinstance(idempotency, Idempotency):
                return repeat(self, target, idempotency, *args, **more)
            return operation(self, target, *args, **more)

        return run

    return decorate


async def _remembered(
    runner: Runner, target: HasTarget | list[Collection], idempotency: Idempotency
) -> tuple[Any, bytes] | None:
    """Return the reply to the first request with this key, and its remark; None without one. Raises Reused."""
    if not idempotency.whole:
        return None
    for collection in target if isinstance(target, list) else (target.collection,):
        key = keys.remembered(collection.tag, idempotency.digest)
        # Its reply acknowledges the first request, so it may have to be confirmed (service/redis/confirmation.py).
        if (packed := await runner.command("GET", key, key=key, write=True)) is not None:
            return _unpacked(packed, idempotency)
    return None


def _unpacked(packed: bytes, idempotency: Idempotency) -> tuple[Any, bytes]:
    fingerprint = idempotency.fingerprint
    if not packed.startswith(fingerprint):
        raise Reused("the idempotency key was used for another request")
    remark, reply = msgpack.unpackb(packed[len(fingerprint) :], raw=True)
    return reply, remark


def nothing(reply: Any, remark: bytes) -> None:
    """Decode the reply of an operation that has no result."""
