"""Requests that are carried out once, however often they are repeated: the header `Idempotency-Key`
(draft-ietf-httpapi-idempotency-key-header).

Two requests with one key are the same where caller, method, path, query, conditions and body are. A key is looked up in
the collection that is written to: in another one, it is another key.
"""

import json
import re
from collections.abc import AsyncIterator, Mapping

from msgspec.structs import replace
from multipart import parse_options_header

from service.api.dialect import Body, Handler, Handling, Request
from service.storage.errors import Invalid
from service.storage.scripts.idempotency import Idempotency

HEADER = "Idempotency-Key"
LONGEST = 255  # characters of a key
READING = frozenset(("GET", "HEAD", "OPTIONS"))  # methods that write nothing: the header says nothing there
CONDITIONS = ("If-Match", "If-None-Match")
_lawful = re.compile(rf"[!-~]{{1,{LONGEST}}}").fullmatch  # visible ASCII


def handled(handler: Handler, request: Request, path: str) -> Handling:
    """The handler at work on a request, once if the request says so; `path` as it was sent. Raises Invalid."""
    headers = request.headers
    if HEADER in headers and request.method not in READING:
        idempotency = Idempotency(
            # Two tokens of one caller are the same one, but not two on behalf of different programs.
            who=(key_of(headers), request.caller.id, json.dumps(request.caller.claims, sort_keys=True)),
            what=(request.method, path),
            how=(request.query_string, *(f"{name}:{headers[name]}" for name in CONDITIONS if name in headers)),
        )
        idempotency.whole = request.method == "DELETE"  # which has none
        request = replace(request, idempotency=idempotency, body=Noted(request.body, idempotency, headers))
    return handler(request)


def key_of(headers: Mapping[str, str]) -> str:
    """The one lawful key of the headers. Raises Invalid."""
    keys = [value for name, value in headers.items() if name.lower() == HEADER.lower()]
    if len(keys) != 1 or not _lawful(keys[0]):
        raise Invalid(f"{HEADER} is to be given once, as 1 to {LONGEST} visible ASCII characters")
    return keys[0]


class Noted:
    """A body whose bytes are added to what tells its request from others."""

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
        """The body as it arrives. A form's boundary is left out of what tells it from others: clients make a new one
        for each attempt."""
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
