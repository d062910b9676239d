"""Tests that the fast path and aiohttp's path give the same answers."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from service.verification.conversations import shipped
from tests.conversations import replay
from tests.dialects.auravant.client import CALLERS, STORAGE, Client, Reply
from tests.running import Running

CONVERSATIONS = shipped("auravant")
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def ordinary() -> Iterator[Running]:
    """A service without the fast path."""
    with Running(fast_path="false") as running:
        yield running.wait_ready()


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda path: path.stem)
async def test_a_conversation_has_the_written_answers_without_the_fast_path(
    conversation: Path, ordinary: Running, http: ClientSession
) -> None:
    await replay(conversation, http, ordinary.url, here=ordinary.url, **CALLERS)


BODIES: list[tuple[bytes, str]] = [
    (body if isinstance(body, bytes) else json.dumps(body).encode(), "application/json")
    for body in (
        {"id": "UID-owner", "key": "paths", "value": {"a": [1.5, None]}, "overwrite": True},
        {"id": "UID-owner", "key": "paths", "value": [1], "append": True},
        {"id": "UID-owner", "key": "paths", "value": "x" * 40_000, "create": True},
        {"id": "UID-owner", "key": "public_ext_paths", "value": {"b": 1}, "create": True},
        {"id": "UID-reader", "key": "paths", "value": 1},
        {"id": "none", "key": "paths", "value": 1},
        {"id": 12345, "key": "paths", "data": [1], "overwrite": True},
        {"id": "UID-owner", "key": "a b", "value": 1},
        {"keys": ["paths"]},
        {"ids": [], "keys": ["paths", "none"]},
        {"ids": ["UID-owner"], "keys": ["paths", "paths"]},
        {"ids": [12345], "keys": ["paths"]},
        {"ids": ["12345", "f-uuid"], "keys": ["paths"]},
        {"ids": ["none"], "keys": ["paths"]},
        {"ids": ["f-uuid", "none"], "keys": ["k"]},
        {"ids": ["UID-owner"]},
        {"id": "UID-owner", "keys": ["paths", "public_ext_paths"]},
        {"id": 12345, "keys": ["paths"]},
        {},
        b"[]",
        b"{",
    )
]
BODIES += [
    (b"id=UID-owner&key=paths&value=%5B2%5D&overwrite=true", FORM),
    (b"keys=%5B%22paths%22%5D", FORM),
    (b"%FF", FORM),
]


@pytest.mark.parametrize("token", ["at-owner", "at-reader", "at-owner-old", "at-unclaimed", "none"])
@pytest.mark.parametrize("scope", ["users", "fields", "farms"])
async def test_the_same_requests_get_the_same_answers(
    service: Running, ordinary: Running, http: ClientSession, scope: str, token: str
) -> None:
    clients = [Client(http, running, token) for running in (service, ordinary)]
    told: list[list[tuple[int, dict[str, str], bytes]]] = [[], []]
    for client, answers in zip(clients, told, strict=True):
        owner = Client(http, client.running, "at-owner")
        for id, kind in (("UID-owner", "users"), (12345, "fields")):
            await owner.delete(kind, id, "paths", "public_ext_paths")
        for operation in ("PUT", "GET", "PATCH", "DELETE", "NONE"):
            for body, kind in BODIES:
                target = f"{STORAGE}/{scope}?operation={operation}"
                answers.append(comparable(await client.ask("POST", target, body, Content_Type=kind)))
    for one, other in zip(*told, strict=True):
        assert one == other


def comparable(reply: Reply) -> tuple[int, dict[str, str], bytes]:
    """Return an answer without the parts that depend on the time."""
    headers = {name.lower(): text for name, text in reply.headers.items()}
    for name in ("date", "x-request-id"):
        headers.pop(name, None)
    return reply.status, headers, reply.body
