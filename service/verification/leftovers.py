"""Check that a server has no data before a conversation, and remove the data that a conversation has left.

A conversation expects an empty project. If the project has data, nothing is changed and the verification ends. Data
that a conversation left is removed before the next one. The APIs of Auravant and Genesys do not list what is stored:
their conversations remove it themselves, or it expires.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

from service.remote.client import Remote, Reply

DOCUMENTS = "/api/v1/storage/json"
PAGE = 1000
ROUNDS = 10  # attempts to remove all documents; if some are left, the server counts as one that removes none
UNLIKE_ITS_PAGE = "the list of the server's data must have the members that the vendor's page describes"


class Unusable(Exception):
    """The server cannot be verified. The message gives the reason."""


def _json(reply: Reply, what: str) -> Any:
    """Return the JSON body of an answer. Raises Unusable if its status is not 200 or its body is not JSON."""
    if reply.status != 200:
        raise Unusable(f"{what} was answered with {reply.status}: {reply.body[:200].decode(errors='replace')}")
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError):
        raise Unusable(f"the answer for {what} must be JSON") from None


async def _categories(remote: Remote, known: Mapping[str, str]) -> list[str]:
    headers = [("Authorization", f"Bearer {known['key']}")]
    listed = _json(await remote.ask("GET", DOCUMENTS, headers=headers), "the list of categories")
    return [each["category"] for each in listed]


async def _documents_left(remote: Remote, known: Mapping[str, str]) -> str:
    found = await _categories(remote, known)
    return f"documents in {', '.join(sorted(found)[:5])}" if found else ""


async def _remove_documents(remote: Remote, known: Mapping[str, str]) -> None:
    headers = [("Authorization", f"Bearer {known['key']}")]
    for category in await _categories(remote, known):
        path = f"{DOCUMENTS}/{quote(category, safe='')}"
        for _ in range(ROUNDS):
            items = _json(await remote.ask("GET", f"{path}?limit={PAGE}", headers=headers), "a list of documents")
            if not items:
                break
            for item in items:
                await remote.ask("DELETE", f"{path}/{quote(item['key'], safe='')}", headers=headers)
        else:
            raise Unusable(f"the server does not remove the documents of {category}")


async def _variables_left(remote: Remote, known: Mapping[str, str]) -> str:
    if "agent" not in known:
        raise Unusable(
            "the number of the agent is missing: with --token-env TOKEN, set it in the environment variable TOKEN_AGENT"
        )
    target = f"/dashboard/bots/{known['agent']}/storages.json?per_page=1"
    listed = _json(await remote.ask("GET", target, headers=[("Access-Token", known["token"])]), "the list of variables")
    return f"{listed['total_entries']} variables of agent {known['agent']}" if listed["total_entries"] else ""


async def _remove_variables(remote: Remote, known: Mapping[str, str]) -> None:
    target = f"/dashboard/agents/{known['agent']}/clear_data.json"
    headers = [("Access-Token", known["token"]), ("Content-Type", "application/json")]
    await remote.ask("POST", target, b'{"data_types": ["storage_data"]}', headers)


Left = Callable[[Remote, Mapping[str, str]], Awaitable[str]]
Remove = Callable[[Remote, Mapping[str, str]], Awaitable[None]]
BY_DIALECT: dict[str, tuple[Left, Remove]] = {
    "ainoflow": (_documents_left, _remove_documents),
    "avaamo": (_variables_left, _remove_variables),
}


async def left(dialect: str, remote: Remote, known: Mapping[str, str]) -> str:
    """Describe the data of the project; "" if there is none or the API has no list. Raises Unusable on a bad answer."""
    if dialect not in BY_DIALECT:
        return ""
    try:
        return await BY_DIALECT[dialect][0](remote, known)
    except (KeyError, TypeError) as error:
        raise Unusable(UNLIKE_ITS_PAGE) from error


async def remove(dialect: str, remote: Remote, known: Mapping[str, str]) -> None:
    """Remove all data that a conversation has left. Raises Unusable if the server does not remove it."""
    if dialect not in BY_DIALECT:
        return
    try:
        await BY_DIALECT[dialect][1](remote, known)
    except (KeyError, TypeError) as error:
        raise Unusable(UNLIKE_ITS_PAGE) from error
