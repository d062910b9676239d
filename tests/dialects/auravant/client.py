"""Users, fields and farms of one test, and clients with their tokens."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from aiohttp import ClientSession
from yarl import URL

from tests import http_client
from tests.http_client import HttpClient
from tests.running import Running

STORAGE = "/api/mktplace/storage"
# The tokens that the conversations name, as tests/access.yaml declares them.
CALLERS = {"token": "at-vendor"} | {
    name: f"at-{name.replace('_', '-')}" for name in ("owner", "owner_b", "owner_old", "reader", "stranger")
}
DONE = {"code": 0, "res": "ok", "info": {"code": 0, "res": "ok"}}


class Reply(http_client.Reply):
    __slots__ = ()

    @property
    def code(self) -> int:
        """Check the envelope of an answer, and return its code."""
        assert self.headers["Content-Type"] == "application/json"
        body = self.json
        code: int = body["code"]
        assert body["info"]["code"] == code
        assert body["res"] == body["info"]["res"] == ("ok" if code == 0 else "err")
        if code == 0:
            assert {*body} == {"code", "res", "info"}
        else:
            assert body == {"code": code, "res": "err", "msg": body["msg"], "info": body["info"]}
            assert body["info"] == {"code": code, "res": "err", "msg": body["msg"]}
            assert body["msg"]
        return code

    @property
    def objects(self) -> Any:
        assert (self.status, self.code) == (200, 0), self.body
        return self.json["info"]["objects"]


class Client(HttpClient[Reply]):
    """A client with one token."""

    reply_type = Reply

    def __init__(self, http: ClientSession, running: Running, token: str) -> None:
        super().__init__(http, running)
        self.token = token

    def credential(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def storage(self, scope: str, operation: str, body: object) -> Reply:
        """Send one operation. `body` is the bytes of the body, or a value that is encoded as JSON."""
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        target = f"{STORAGE}/{scope}?operation={operation}"
        return await self.ask("POST", target, text, Content_Type="application/json")

    async def put(self, scope: str, id: object, key: str, value: object, **more: object) -> Reply:
        return await self.storage(scope, "PUT", {"id": id, "key": key, "value": value, **more})

    async def patch(self, scope: str, id: object, key: str, value: object, **more: object) -> Reply:
        return await self.storage(scope, "PATCH", {"id": id, "key": key, "value": value, **more})

    async def get(self, scope: str, ids: object, *keys: str) -> Reply:
        return await self.storage(scope, "GET", {"ids": ids, "keys": keys})

    async def delete(self, scope: str, id: object, *keys: str) -> Reply:
        return await self.storage(scope, "DELETE", {"id": id, "keys": keys})

    async def shared(self, level: str, **query: object) -> Reply:
        return await self.ask(
            "GET", str(URL(f"/publicvalues/{level}").with_query({k: str(v) for k, v in query.items()}))
        )


async def declare(running: Running, http: ClientSession, section: Mapping[str, object]) -> list[dict[str, str]]:
    """Apply a section of the access document in addition to what is declared; return the generated tokens."""
    tokens: list[dict[str, str]] = (await http_client.declare(running, http, auravant=section))["tokens"]
    return tokens


class World:
    """Names that no other test uses, and the permissions of callers on them."""

    def __init__(self, running: Running, http: ClientSession) -> None:
        self.running, self.http = running, http
        self.mark = uuid4().hex[:12]
        self.extension = self.name("ext")

    def name(self, what: str) -> str:
        return f"{what}-{self.mark}"

    async def declare(self, **section: object) -> list[dict[str, str]]:
        return await declare(self.running, self.http, section)

    async def open(self, *users: str, **section: Any) -> list[Client]:
        """Declare users, each with a token of this world's extension, and `section` as well; return their clients."""
        tokens = [
            {"token": self.name(f"at-{user}"), "user": self.name(user), "extension": self.extension, "version": "1"}
            for user in users
        ]
        await self.declare(
            extensions=[{"client_id": self.extension, "versions": ["1"], "claims": ["storage"]}],
            users=[self.name(user) for user in users],
            tokens=tokens,
            **section,
        )
        return [Client(self.http, self.running, token["token"]) for token in tokens]
