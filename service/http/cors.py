"""Cross-origin requests (the CORS protocol of the Fetch standard), allowed from the configured origins only."""

from collections.abc import Iterable, Mapping

from service.api.dialect import Answer, Dialect

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
# Request headers of the clients of all dialects. A browser asks for permission (preflight) before it sends one of them.
# In addition each dialect has the headers on which its answers depend (`Dialect.vary`), such as its credential.
SHARED = ("content-type", "idempotency-key", "if-match", "if-none-match", "last-event-id", "x-request-id")
EXPOSED = "ETag, Last-Modified, Retry-After, X-Request-Id, X-Total-Count, X-Page, X-Limit, X-Total-Pages, X-Next-Cursor"
PREFLIGHT_SECONDS = "600"


class Cors:
    """The CORS headers for a set of origins and the dialects that are served.

    Cookies are never allowed: pages send credentials in headers.
    """

    def __init__(self, origins: tuple[str, ...], dialects: Iterable[Dialect]) -> None:
        self._origins = frozenset(origins)
        own = (name for dialect in dialects for name in dialect.vary.lower().split(", "))
        self._request_headers = ", ".join(dict.fromkeys((*own, *SHARED)))

    def preflight(self, method: str, headers: Mapping[str, str]) -> Answer | None:
        """Return the answer to a preflight request, None if the request is not one.

        The headers of `shared` are added later, as to every answer.
        """
        if method != "OPTIONS" or "Access-Control-Request-Method" not in headers or self._allowed(headers) is None:
            return None
        return Answer(
            204,
            headers=(
                ("Access-Control-Allow-Methods", METHODS),
                ("Access-Control-Allow-Headers", self._request_headers),
                ("Access-Control-Max-Age", PREFLIGHT_SECONDS),
            ),
        )

    def shared(self, headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """Return the headers that let a page of the request's origin read the answer."""
        if not self._origins:
            return ()
        if (origin := self._allowed(headers)) is None:
            return (("Vary", "Origin"),)
        return (("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", EXPOSED), ("Vary", "Origin"))

    def _allowed(self, headers: Mapping[str, str]) -> str | None:
        origin = headers.get("Origin")
        if origin is None or not self._origins:
            return None
        return origin if origin in self._origins else "*" if "*" in self._origins else None
