"""The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a repeated request is carried out once.

Two requests with one key are the same request if their caller, method, path, query, conditions and body are equal. A
key belongs to the collection that is written to: the same key in another collection is a different one.
"""

import json
import re
from collections.abc import AsyncIterator, Mapping

from multipart import parse_options_header

from service.api.dialect import Body, Handler, Handling, Request
from service.storage.errors import Invalid
from service.storage.scripts.identity import Idempotency

HEADER = "Idempotency-Key"
LONGEST = 255  # most characters of a key
READING = frozenset(("GET", "HEAD", "OPTIONS"))  # methods that write nothing: the header is ignored
CONDITIONS = ("If-Match", "If-None-Match")
_lawful = re.compile(rf"[!-~]{{1,{LONGEST}}}").fullmatch  # visible ASCII


def handled(handler: Handler, request: Request, path: str) -> Handling:
    """Call the handler; a request with an Idempotency-Key gets its identity as `Request.idempotency`.

    `path` is the path as it was sent. Raises Invalid if the header is malformed.
    """
    headers = request.headers
    if HEADER in headers and request.method not in READING:
        idempotency = Idempotency(
            # Tokens of one caller count as one caller, unless their claims differ (tokens for different programs).
            who=(key_of(headers), request.caller.id, json.dumps(request.caller.claims, sort_keys=True)),
            what=(request.method, path),
            how=(request.query_string, *(f"{name}:{line}" for name in CONDITIONS for line in headers.getall(name, ()))),
        )
        idempotency.whole = request.method == "DELETE"  # a DELETE has no body that could differ
        # Not a copy: http/middleware.py stores in the request what has changed while the body arrived.
        request.body = FingerprintedBody(request.body, idempotency, headers)
        request.idempotency = idempotency
    return handler(request)


def key_of(headers: Mapping[str, str]) -> str:
    """Return the Idempotency-Key of a request. Raises Invalid if it is malformed or repeated."""
    keys = [value for name, value in headers.items() if name.lower() == HEADER.lower()]
    if len(keys) != 1 or not _lawful(keys[0]):
        raise Invalid(f"the header {HEADER} must be given once, with 1 to {LONGEST} visible ASCII characters")
    return keys[0]


class FingerprintedBody:
    """A body whose bytes become part of the request's identity while they are read."""

    def __init__(self, body: Body, idempotency: Idempotency, headers: Mapping[str, str]) -> None:
        self._body, self._idempotency, self._headers = body, idempotency, headers

    @property
    def complete(self) -> bool:
        return self._body.complete

    async def read(self, limit: int) -> bytes:
        body = await self._body.read(limit)
        self._idempotency.add(body)
        self._idempotency.whole = True
        return body

    async def pieces(self, limit: int) -> AsyncIterator[bytes]:
        """Yield the body as it arrives. The boundary of a multipart form is left out of the request's identity: clients
        generate a new one for each attempt."""
        _, options = parse_options_header(self._headers.get("Content-Type", ""))
        boundary, held = options.get("boundary", "").encode(errors="surrogateescape"), b""
        async for piece in self._body.pieces(limit):
            held = (held + piece).replace(boundary, b"") if boundary else held + piece
            sure = max(0, len(held) - len(boundary))
            self._idempotency.add(held[:sure])
            held = held[sure:]
            yield piece
        self._idempotency.add(held)
        self._idempotency.whole = True
