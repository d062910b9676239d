"""A client with a token, and functions that declare agents."""

import json
from collections.abc import Mapping
from itertools import count
from random import randrange
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import ClientSession

from tests import http_client
from tests.http_client import HttpClient
from tests.running import Running

FIRST = randrange(10**6, 10**9) * 10**6  # random, so that two runs of the tests on one service use different agents
_agents = count(FIRST)


class Reply(http_client.Reply):
    __slots__ = ()

    def refused(self, status: int) -> str:
        """Check that an answer is a refusal with this status in the vendor's format; return its message."""
        assert self.status == status, (self.status, self.body)
        assert self.headers["Content-Type"] == "application/json"
        assert list(self.json) == ["error"]
        message = self.json["error"]
        assert isinstance(message, str)
        assert message
        return message


class Client(HttpClient[Reply]):
    """A client with a token, and the agent that its requests name by default."""

    reply_type = Reply

    def __init__(self, http: ClientSession, running: Running, token: str, agent: int) -> None:
        super().__init__(http, running)
        self.token, self.agent = token, agent

    def credential(self) -> dict[str, str]:
        return {"Access-Token": self.token}

    async def send(self, user: str, setting: object) -> Reply:
        """Send a request that sets a variable; `setting` is its body."""
        body = setting if isinstance(setting, bytes) else json.dumps(setting).encode()
        return await self.ask("POST", set_storage(user), body)

    async def set(self, user: str, key: str, value: object) -> None:
        """Set a variable of a user. Fail if that is refused."""
        reply = await self.send(user, {"key": key, "value": value, "bot_id": self.agent})
        assert (reply.status, reply.json) == (200, {"status": 201}), reply.body

    async def list(self, **query: object) -> Any:
        """Return the answer to a list. Fail if it is refused."""
        reply = await self.ask("GET", storages(self.agent, **query))
        assert reply.status == 200, reply.body
        return reply.json

    async def rows(self, **query: object) -> Any:
        return (await self.list(**query))["storage"]

    async def pairs(self, **query: object) -> Any:
        """Return key and value of each row of a list."""
        return [(row["key"], row["value"]) for row in await self.rows(**query)]


def set_storage(user: str) -> str:
    return f"/bots_api/v1/users/{quote(user, safe='')}/set_storage.json"


def storages(agent: object, **query: object) -> str:
    path = f"/dashboard/bots/{agent}/storages.json"
    return f"{path}?{urlencode(query)}" if query else path


def global_storage(key: str, **query: object) -> str:
    path = f"/bots_api/v1/storages/{quote(key, safe='')}.json"
    return f"{path}?{urlencode(query)}" if query else path


async def declare(running: Running, http: ClientSession, section: Mapping[str, object], status: int = 200) -> Any:
    """Apply a section `avaamo` of the access document; return the answer."""
    return await http_client.declare(running, http, status, avaamo=section)


async def open_agent(running: Running, http: ClientSession, permission: str = "edit") -> Client:
    """Declare a new agent and a token with this permission on it; return a client of them."""
    agent = next(_agents)
    token = {"token": f"token-{agent}", "agents": {str(agent): permission}}
    await declare(running, http, {"agents": [{"id": agent}], "tokens": [token]})
    return Client(http, running, f"token-{agent}", agent)
