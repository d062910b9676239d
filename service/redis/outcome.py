"""Receivers of a command's reply or failure."""

from typing import Any, Protocol

from service.redis.errors import Failed


class Outcome(Protocol):
    """The receiver of a command's reply or failure: a future, or an object with these methods. It is called once.

    Neither method may raise. `set_exception` may be called while the queues are iterated over, so it must not send.
    """

    def done(self) -> bool: ...

    def set_result(self, result: Any, /) -> None: ...

    def set_exception(self, exception: Failed, /) -> None: ...


class Nobody:
    """The outcome of a command whose reply is discarded."""

    def done(self) -> bool:
        return True

    def set_result(self, result: Any, /) -> None: ...

    def set_exception(self, exception: Failed, /) -> None: ...


NOBODY = Nobody()
