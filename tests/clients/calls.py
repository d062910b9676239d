"""Requests of a public client: a table of its calls, from which each request is made.

A client here sends what the published one sends: paths, parameters, headers and bodies, in the same order. The table is
also read for docs/COMPATIBILITY.md, so a call that is listed there is one that these tests make.
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
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Published:
    """A client that somebody else published."""

    name: str
    source: str  # the publication in which its behaviour is read
    dialect: str
    headers: Mapping[str, str]  # sent with each request
    calls: Mapping[str, str]  # by name: method and template of the path


class PublicClient:
    """A published client at work."""

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
