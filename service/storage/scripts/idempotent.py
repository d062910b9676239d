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
from service.storage.scripts.idempotency import Once
from service.storage.scripts.runner import Runner


class Runs(Protocol):
    """An object that has such operations."""

    _runner: Runner


P = ParamSpec("P")
S = TypeVar("S", bound=Runs)
T = TypeVar("T")
Places = TypeVar("Places", Collection, Sequence[Collection])
Operation = Callable[Concatenate[S, Places, P], Coroutine[Any, Any, T]]
Mark = Callable[[Operation[S, Places, P, T]], Operation[S, Places, P, T]]


def repeatable(told: Callable[[Any, bytes], T]) -> Mark[S, Places, P, T]:
    """Mark an operation whose result is what `told` makes of the committing script's reply and of `Once.remark`.

    Its parameter `once` is the request. Raises Reused besides. Of several collections it writes to one. A body that
    arrives meanwhile is known at its end, and where the operation refuses it is looked up again, for the same request
    may have been carried out elsewhere.
    """

    def around(operation: Operation[S, Places, P, T]) -> Operation[S, Places, P, T]:
        async def repeating(self: S, place: Places, once: Once, /, *args: P.args, **more: P.kwargs) -> T:
            if (found := await _remembered(self._runner, place, once)) is not None:
                return told(*found)
            try:
                return await operation(self, place, *args, **more)
            except (Unavailable, OutcomeUnknown):
                raise
            except Refusal as refusal:
                once.whole |= isinstance(refusal, Answered)
                if (found := await _remembered(self._runner, place, once)) is not None:
                    return told(*found)
                if isinstance(refusal, Answered):  # its day was over in between
                    raise Unavailable("the store did not answer in time; nothing was done") from None
                raise

        @wraps(operation)
        def either(self: S, place: Places, /, *args: P.args, **more: P.kwargs) -> Coroutine[Any, Any, T]:
            once = more.get("once")
            if isinstance(once, Once):
                return repeating(self, place, once, *args, **more)
            return operation(self, place, *args, **more)

        return either

    return around


async def _remembered(
    runner: Runner, places: Collection | Sequence[Collection], once: Once
) -> tuple[Any, bytes] | None:
    """The reply to the first of these requests, and the remark that was kept with it. Raises Reused."""
    if not once.whole:
        return None
    for place in (places,) if isinstance(places, Collection) else places:
        key = keys.once(place.tag, once.digest)
        if (kept := await runner.command("GET", key, key=key)) is not None:
            return _unpacked(kept, once)
    return None


def _unpacked(kept: bytes, once: Once) -> tuple[Any, bytes]:
    fingerprint = once.fingerprint
    if not kept.startswith(fingerprint):
        raise Reused("the idempotency key was used for another request")
    remark, reply = msgpack.unpackb(kept[len(fingerprint) :], raw=True)
    return reply, remark


def nothing(reply: Any, remark: bytes) -> None:
    """The result of an operation that has none."""
