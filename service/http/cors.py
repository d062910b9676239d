"""Cross-origin requests (the Fetch standard's CORS protocol): off unless origins are configured."""

from collections.abc import Mapping

from service.api.dialect import Answer

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
# What the dialects' clients send; a browser asks before it sends any of them.
REQUEST_HEADERS = (
    "authorization, access-token, gms_user, content-type, idempotency-key, if-match, if-none-match, last-event-id, "
    "x-request-id"
)
EXPOSED = "ETag, Last-Modified, Retry-After, X-Request-Id, X-Total-Count, X-Page, X-Limit, X-Total-Pages"
PREFLIGHT_SECONDS = "600"


class Cors:
    """Credentials travel in headers that the page itself sets, so no cookie is ever allowed."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._origins = frozenset(origins)

    def preflight(self, method: str, headers: Mapping[str, str]) -> Answer | None:
        """The answer to a browser's question whether it may send a request, None if this is none.

        It lacks what `shared` adds to every answer.
        """
        if method != "OPTIONS" or "Access-Control-Request-Method" not in headers or self._allowed(headers) is None:
            return None
        return Answer(
            204,
            headers=(
                ("Access-Control-Allow-Methods", METHODS),
                ("Access-Control-Allow-Headers", REQUEST_HEADERS),
                ("Access-Control-Max-Age", PREFLIGHT_SECONDS),
            ),
        )

    def shared(self, headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """Return the headers that let the asking page read an answer."""
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
