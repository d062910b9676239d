"""The HTTP client that the tests of all dialects use: sends requests and declares access."""

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar, Generic, TypeVar

from aiohttp import ClientSession
from multidict import MultiMapping
from yarl import URL

from tests.running import Running


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with its whole body. The subclass of a dialect reads the format of its refusals."""

    status: int
    headers: MultiMapping[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


R = TypeVar("R", bound=Reply)


class HttpClient(Generic[R]):
    """A client with the credential of one caller. The subclass of a dialect puts the credential into headers."""

    reply_type: type[R]
    omitted: ClassVar[tuple[str, ...]] = ()  # headers that aiohttp adds by default and must not send

    def __init__(self, http: ClientSession, running: Running) -> None:
        self.http, self.running = http, running

    @abstractmethod
    def credential(self) -> dict[str, str]:
        """The headers with the credential of the caller."""

    async def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> R:
        """Send a request and return the answer. In names of headers, `_` stands for `-`."""
        given = self.credential() | {name.replace("_", "-"): text for name, text in headers.items()}
        url = URL(self.running.url + target, encoded=True)
        data = None if body is None else BytesIO(body)  # aiohttp warns if a large body is given as bytes
        sent = self.http.request(method, url, data=data, headers=given, skip_auto_headers=self.omitted)
        async with sent as answer:
            return self.reply_type(answer.status, answer.headers, await answer.read())


async def declare(running: Running, http: ClientSession, status: int = 200, **sections: Mapping[str, object]) -> Any:
    """Apply sections of an access document in addition to what is declared. Fail unless the answer has this status."""
    headers = {"Authorization": f"Bearer {running.admin_token}"}
    async with http.put(running.ops_url + "/admin/access", json=sections, headers=headers) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()
