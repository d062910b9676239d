"""A client of the Genesys dialect, and forms."""

from typing import Any
from urllib.parse import quote

from aiohttp import ClientSession

from tests import http_client
from tests.http_client import HttpClient
from tests.running import Running

STORAGE = "/genesys/1/storage"
BOUNDARY = "----a-boundary"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
FORM = "application/x-www-form-urlencoded"

File = tuple[str, str, bytes]  # name, type, bytes


def at(*names: str) -> str:
    return STORAGE + "".join("/" + quote(name, safe="") for name in names)


def multipart(*fields: tuple[str, str | File]) -> bytes:
    """Return a form as browsers write it."""
    body: list[bytes] = []
    for name, value in fields:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'
        if isinstance(value, str):
            body.append(f"{head}\r\n\r\n{value}\r\n".encode())
        else:
            filename, type, content = value
            said = f"\r\nContent-Type: {type}" if type else ""
            body += f'{head}; filename="{filename}"{said}\r\n\r\n'.encode(), content, b"\r\n"
    return b"".join([*body, f"--{BOUNDARY}--\r\n".encode()])


class Reply(http_client.Reply):
    __slots__ = ()

    def refused(self, status: int) -> str:
        """Check status, format and cache headers of a refusal; return its message."""
        assert self.status == status, (self.status, self.body)
        assert list(self.json) == ["exception", "message"]
        assert (self.headers["Cache-Control"], self.headers["Pragma"]) == ("no-cache, no-store", "no-cache")
        assert self.headers["Vary"] == "Authorization, gms_user"
        assert self.headers["X-Content-Type-Options"] == "nosniff"
        message: str = self.json["message"]
        return message


class Client(HttpClient[Reply]):
    """A client with the credential of one user, or without one."""

    reply_type = Reply
    omitted = ("Content-Type",)  # sent only if a test gives it

    def __init__(self, http: ClientSession, running: Running, user: str = "") -> None:
        super().__init__(http, running)
        self.user = user

    def credential(self) -> dict[str, str]:
        return {"gms_user": self.user} if self.user else {}

    async def post(self, *names: str, fields: tuple[tuple[str, str | File], ...] = (("a", "1"),)) -> Reply:
        return await self.ask("POST", at(*names), multipart(*fields), Content_Type=MULTIPART)

    async def create(self, *fields: tuple[str, str | File], ttl: int = 600) -> str:
        """Create an area, and return its id."""
        reply = await self.post(str(ttl), fields=fields)
        assert reply.status == 200, reply.body
        id: str = reply.json["id"]
        return id

    async def get(self, *names: str, **headers: str) -> Reply:
        return await self.ask("GET", at(*names), None, **headers)

    async def all(self, id: str) -> Any:
        """Return all keys and values of an area."""
        reply = await self.get(id)
        assert reply.status == 200, reply.body
        return reply.json


def areas(running: Running) -> set[str]:
    """Return the Redis keys of this dialect that do not expire within a minute."""
    with running.redis as client, client.pipeline(transaction=False) as lives:
        names: list[bytes] = client.keys("{genesys:*")
        for name in names:
            lives.pttl(name)
        return {name.decode() for name, ms in zip(names, lives.execute(), strict=True) if not 0 <= ms <= 60_000}
