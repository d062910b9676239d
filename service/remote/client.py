"""HTTP client of another server, which repeats failed requests and waits as long as the server asks.

A request that failed is repeated after the answer's `Retry-After`, or after a random pause that grows from attempt to
attempt. A request that must not be carried out twice is repeated only after 429, which says that nothing was done
(`THROTTLED`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import uniform

from aiohttp import ClientError, ClientSession, ClientTimeout
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from yarl import URL

ATTEMPTS = 12
SECONDS = 60.0  # limit of one attempt
MOST_BYTES = 64 << 20  # the longest answer
LONGEST = 3600.0  # seconds: a longer Retry-After is shortened to this
_pause = wait_random_exponential(multiplier=0.25, max=30)


@dataclass(frozen=True, slots=True)
class Repeat:
    """The failures after which a request is sent again. `lost`: also if the connection broke or timed out."""

    statuses: frozenset[int]
    lost: bool


NEVER = Repeat(frozenset(), lost=False)
THROTTLED = Repeat(frozenset({429}), lost=False)
FAILED = Repeat(frozenset({429, 500, 502, 503, 504}), lost=True)


class Unreachable(Exception):
    """The server gave no usable answer to any attempt."""


class Oversized(Unreachable):
    """The answer is longer than MOST_BYTES."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that was received completely."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Again(Exception):
    """An attempt that must be repeated; `seconds` is the wait that the server asked for."""

    def __init__(self, message: str, reply: Reply | None = None) -> None:
        super().__init__(message)
        self.reply = reply
        self.seconds = None if reply is None else _retry_after(reply.headers)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait by `Retry-After`, a number or a date; None without a valid one."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return min(float(text), LONGEST)
    try:
        at = parsedate_to_datetime(text)
        seconds = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), LONGEST)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, _Again) and error.seconds is not None:
        return error.seconds + uniform(0, 0.25)  # spreads clients that were refused at the same time
    return _pause(state)


class Remote:
    """A server at a base URL. Its headers are added to those of each request."""

    def __init__(
        self,
        http: ClientSession,
        base: str,
        headers: Mapping[str, str] | None = None,
        *,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.base = base.rstrip("/")
        self.repeated = 0  # number of repeated attempts, over all requests
        self._http = http
        self._headers = dict(headers or {})
        self._attempts = attempts
        self._sleep = sleep

    async def ask(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Collection[tuple[str, str]] = (),
        *,
        repeat: Repeat = FAILED,
    ) -> Reply:
        """Return the answer to a request, the last one if all attempts failed. Raises Unreachable if none came."""
        given = [*headers, *self._headers.items()]
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(_Again),
                stop=stop_after_attempt(self._attempts),
                wait=_wait,
                sleep=self._sleep,
                reraise=True,
            ):
                with attempt:
                    self.repeated += attempt.retry_state.attempt_number > 1
                    return await self._once(method, target, body, given, repeat)
        except _Again as error:
            if error.reply is None:
                raise Unreachable(f"{method} {self.base}{target}: {error}") from error
            return error.reply
        raise AssertionError("unreachable")  # pragma: no cover

    async def _once(
        self, method: str, target: str, body: bytes | None, headers: list[tuple[str, str]], repeat: Repeat
    ) -> Reply:
        try:
            url = URL(self.base + target, encoded=True)
            url.port  # noqa: B018 - yarl checks the port only when it is read
        except ValueError as error:
            raise Unreachable(f"{method} {self.base}{target}: it is not a URL ({error})") from error
        wait = ClientTimeout(total=SECONDS)
        try:
            async with self._http.request(
                method, url, data=body, headers=headers, allow_redirects=False, timeout=wait
            ) as answer:
                received = bytearray()
                async for piece in answer.content.iter_any():
                    received += piece
                    if len(received) > MOST_BYTES:
                        raise Oversized(f"{method} {self.base}{target}: the answer has more than {MOST_BYTES} bytes")
                reply = Reply(answer.status, answer.headers, bytes(received))
        except (ClientError, TimeoutError) as error:
            failure = f"no answer ({type(error).__name__})" if not str(error) else f"no answer: {error}"
            if repeat.lost:
                raise _Again(failure) from error
            raise Unreachable(f"{method} {self.base}{target}: {failure}") from error
        if reply.status in repeat.statuses:
            raise _Again(f"it answered {reply.status}", reply)
        return reply
