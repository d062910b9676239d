"""Headers of a refusal that are the same in every dialect."""

import math

from service.api.dialect import Dialect, NoSuchMethod, Unsupported
from service.storage.errors import OutcomeUnknown, Refusal, Throttled, Unauthenticated, Unavailable

REQUEST_ID = "X-Request-Id"
RETRY_SECONDS = "1"  # the Retry-After of a 503: a restarted Redis answers again within a second


def refusal_headers(refusal: Refusal, dialect: Dialect | None) -> tuple[tuple[str, str], ...]:
    """Return the headers that RFC 9110 requires of a refusal (sections 10.2.1, 10.2.3, 11.6.1 and 12.5.3)."""
    if isinstance(refusal, NoSuchMethod):
        return (("Allow", refusal.allowed),)
    if isinstance(refusal, Unsupported) and refusal.accepted:
        return (("Accept-Encoding", refusal.accepted),)
    if isinstance(refusal, Throttled):
        return (("Retry-After", str(math.ceil(refusal.retry_after))),)
    if isinstance(refusal, Unavailable | OutcomeUnknown):
        return (("Retry-After", RETRY_SECONDS),)
    if isinstance(refusal, Unauthenticated):
        return (("WWW-Authenticate", dialect.challenge if dialect else "Bearer"),)
    return ()
