"""Requests of a public client: a table of its calls, from which each request is made.

A client here sends the same requests as the published one, in the same order: paths, parameters, headers and bodies.
docs/COMPATIBILITY.md is made from the same table, so these tests make each call that is listed there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from aiohttp import ClientSession
from multidict import CIMultiDict
from yarl import URL


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Published:
    """A client that was published by others."""

    name: str
    source: str  # the publication that shows its behaviour
    dialect: str
    headers: Mapping[str, str]  # sent with each request
    calls: Mapping[str, str]  # name -> method and template of the path


class PublicClient:
    """A running copy of a published client."""

    published: ClassVar[Published]

    def __init__(self, http: ClientSession, base: str, **credential: str) -> None:
        self._http, self._base, self._credential = http, base, credential
        self.made: set[str] = set()

    async def call(
        self,
        name: str,
        *names: str,
        query: Mapping[str, object] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make a call of the table; `names` fill the template."""
        self.made.add(name)
        method, template = self.published.calls[name].split(" ")
        left = iter(names)
        segments = (quote(next(left), safe="") if part[:1] == "{" else part for part in template.split("/"))
        target = "/".join(segments) + (f"?{urlencode(query)}" if query else "")
        given = CIMultiDict([*self.published.headers.items(), *self._credential.items(), *(headers or {}).items()])
        url = URL(self._base + target, encoded=True)
        async with self._http.request(method, url, data=body, headers=given, skip_auto_headers=["Content-Type"]) as got:
            return Answer(got.status, got.headers, await got.read())
