"""Operations that answer a repeated request from what is remembered of the first.

The first time, the script that commits the write remembers its reply, in the same step (lua/include/once.lua). A
request commits once in a collection: of an operation that takes several steps, only the last is such a script.
"""

from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import msgpack

from service.storage import keys
from service.storage.errors import Answered, OutcomeUnknown, Refusal, Reused, Unavailable
from service.storage.keys import Collection
from service.storage.scripts.idempotency import Idempotency
from service.storage.scripts.runner import Runner


class Runs(Protocol):
    """An object that has such operations."""

    _runner: Runner


P = ParamSpec("P")
S = TypeVar("S", bound=Runs)
T = TypeVar("T")
Collections = TypeVar("Collections", Collection, Sequence[Collection])
Operation = Callable[Concatenate[S, Collections, P], Coroutine[Any, Any, T]]
Mark = Callable[[Operation[S, Collections, P, T]], Operation[S, Collections, P, T]]


def idempotent(decode: Callable[[Any, bytes], T]) -> Mark[S, Collections, P, T]:
    """Decorate an operation so that a repeated request is answered from the remembered reply of the first one.

    `decode` makes the operation's result from the committing script's reply and `Idempotency.remark`. The decorated
    operation takes the parameter `idempotency` and raises Reused besides. Of several collections, one is written to.

    A request whose body is still arriving can be compared only at the end of the body. After a refusal the reply is
    looked up again, because the same request may have been carried out elsewhere.
    """

    def around(operation: Operation[S, Collections, P, T]) -> Operation[S, Collections, P, T]:
        async def repeating(
            self: S, collection: Collections, idempotency: Idempotency, /, *args: P.args, **more: P.kwargs
        ) -> T:
            if (found := await _remembered(self._runner, collection, idempotency)) is not None:
                return decode(*found)
            try:
                return await operation(self, collection, *args, **more)
            except (Unavailable, OutcomeUnknown):
                raise
            except Refusal as refusal:
                idempotency.whole |= isinstance(refusal, Answered)
                if (found := await _remembered(self._runner, collection, idempotency)) is not None:
                    return decode(*found)
                if isinstance(refusal, Answered):  # its day was over in between
                    raise Unavailable("the store did not answer in time; nothing was done") from None
                raise

        @wraps(operation)
        def either(self: S, collection: Collections, /, *args: P.args, **more: P.kwargs) -> Coroutine[Any, Any, T]:
            idempotency = more.get("idempotency")
            if isinstance(idempotency, Idempotency):
                return repeating(self, collection, idempotency, *args, **more)
            return operation(self, collection, *args, **more)

        return either

    return around


async def _remembered(
    runner: Runner, collections: Collection | Sequence[Collection], idempotency: Idempotency
) -> tuple[Any, bytes] | None:
    """The reply to the first of these requests, and the remark that was kept with it. Raises Reused."""
    if not idempotency.whole:
        return None
    for collection in (collections,) if isinstance(collections, Collection) else collections:
        key = keys.remembered(collection.tag, idempotency.digest)
        if (kept := await runner.command("GET", key, key=key)) is not None:
            return _unpacked(kept, idempotency)
    return None


def _unpacked(kept: bytes, idempotency: Idempotency) -> tuple[Any, bytes]:
    fingerprint = idempotency.fingerprint
    if not kept.startswith(fingerprint):
        raise Reused("the idempotency key was used for another request")
    remark, reply = msgpack.unpackb(kept[len(fingerprint) :], raw=True)
    return reply, remark


def nothing(reply: Any, remark: bytes) -> None:
    """The result of an operation that has none."""
