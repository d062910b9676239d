"""A client of one Ainoflow project, and functions to send requests as bytes on a socket."""

import asyncio
from collections.abc import Mapping
from urllib.parse import quote, urlencode
from uuid import uuid4

from aiohttp import ClientSession
from multidict import CIMultiDict, CIMultiDictProxy

from tests import http_client
from tests.http_client import HttpClient
from tests.running import START_SECONDS, Running

DOCUMENTS = "/api/v1/storage/json"


def at(*names: str, **query: object) -> str:
    """Return the target of these path segments below `DOCUMENTS`, with all reserved characters encoded."""
    path = DOCUMENTS + "".join("/" + quote(name, safe="") for name in names)
    return f"{path}?{urlencode(query)}" if query else path


class Reply(http_client.Reply):
    __slots__ = ()

    def refused(self, status: int) -> str:
        """Check that an answer is a refusal with this status in the vendor's format; return its message."""
        assert self.status == status, (self.status, self.body)
        assert self.headers["Content-Type"] == "application/json"
        assert list(self.json) == ["error"]
        assert list(self.json["error"]) == ["message", "oldest"][: 2 if status == 410 else 1]
        message = self.json["error"]["message"]
        assert isinstance(message, str)
        assert message
        return message


class Client(HttpClient[Reply]):
    """A client with one key of one project."""

    reply_type = Reply

    def __init__(self, http: ClientSession, running: Running, key: str, project: str) -> None:
        super().__init__(http, running)
        self.key, self.project = key, project

    def credential(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    async def put(self, category: str, key: str, body: bytes = b"{}", **query: object) -> Reply:
        """Put a document. Fail if it is refused."""
        reply = await self.ask("PUT", at(category, key, **query), body)
        assert reply.status == 200, reply.body
        return reply

    async def get(self, *names: str, **query: object) -> Reply:
        return await self.ask("GET", at(*names, **query))

    async def keys(self, category: str, **query: object) -> list[str]:
        """Return the keys in a list, in its order."""
        return [item["key"] for item in (await self.get(category, **query)).json]

    async def nothing_stored(self) -> None:
        """Fail if the project has a document."""
        assert (await self.ask("GET", DOCUMENTS)).json == []


async def declare(running: Running, http: ClientSession, section: Mapping[str, object]) -> list[dict[str, str]]:
    """Apply a section `ainoflow` of the access document; return the generated tokens."""
    tokens: list[dict[str, str]] = (await http_client.declare(running, http, ainoflow=section))["tokens"]
    return tokens


async def open_project(running: Running, http: ClientSession, quota: Mapping[str, int] | None = None) -> Client:
    """Make a new project with one key, and return a client of it. The id of the key is the name of the project."""
    return await open_with(running, http, **({"quota": quota} if quota else {}))


async def open_with(running: Running, http: ClientSession, **limits: Mapping[str, object]) -> Client:
    """Make a new project with one key and these limits (`quota`, `journal`), and return a client of it."""
    name = uuid4().hex
    projects = [{"id": name, **limits}] if limits else []
    await declare(running, http, {"keys": [{"key": f"key-{name}", "id": name, "project": name}], "projects": projects})
    return Client(http, running, f"key-{name}", name)


async def on_the_wire(running: Running, request: bytes) -> Reply:
    """Send exactly these bytes on a new connection, and read one answer. The request need not be complete."""
    host, port = running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        return await read_reply(reader, head=request.startswith(b"HEAD"))
    finally:
        writer.close()


async def read_reply(reader: asyncio.StreamReader, *, head: bool = False) -> Reply:
    """Read one answer that has a Content-Length. `head`: the answer is to HEAD, so it has no body."""
    async with asyncio.timeout(START_SECONDS):
        start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
        headers: CIMultiDict[str] = CIMultiDict(tuple(line.split(": ", 1)) for line in lines)  # type: ignore[misc]
        body = await reader.readexactly(0 if head else int(headers.get("Content-Length", "0")))
    return Reply(int(start.split(" ")[1]), CIMultiDictProxy(headers), body)
