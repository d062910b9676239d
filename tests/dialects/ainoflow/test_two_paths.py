"""Tests that the fast path and aiohttp's path give the same answers."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from service.verification.conversations import shipped
from tests.conversations import replay
from tests.dialects.ainoflow.client import DOCUMENTS, Client, Reply, at, open_project
from tests.running import Running

ETAG = "99914b932bd37a50b983c5e7c90ae93b"  # of {}


@pytest.fixture(scope="module")
def ordinary() -> Iterator[Running]:
    """A service without the fast path."""
    with Running(fast_path="false") as running:
        yield running.wait_ready()


@pytest.mark.parametrize("conversation", shipped("ainoflow"), ids=lambda path: path.stem)
async def test_a_conversation_has_the_written_answers_without_the_fast_path(
    conversation: Path, ordinary: Running, http: ClientSession
) -> None:
    project = await open_project(ordinary, http)
    await replay(conversation, http, ordinary.url, key=project.key)


REQUESTS: list[tuple[str, str, bytes | None, dict[str, str]]] = [
    (method, target, body if method in ("PUT", "POST", "PATCH") else None, headers)
    for method in ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS")
    for target in (
        at("d", "k"),
        at("d", "none"),
        at("d", "none", allowEmpty="true"),
        at("d", "k", allowEmpty="maybe"),
        at("d", ""),
        at("d", "x" * 201),
        at("é/日", "\x00"),
        DOCUMENTS + "/d/%FF",
        at("d", "k", "meta"),
        at("d", "none", "meta"),
        at("d", "k", expiresAt="2099-01-01"),
        at("d", "k", expiresMs=0),
        "/api/v1/whoami",
        "/api/v1/nothing",
        "/nothing",
    )
    for body, headers in (
        (b"{}", {}),
        (b"[1]", {"If_Match": f'"{ETAG}"'}),
        (b'{"a":null}', {"If_None_Match": "*"}),
        (b"", {}),
        (b'{"a":1', {}),
        (b"1", {"X_Request_Id": "mine"}),
        (b"{}", {"If_None_Match": f'W/"{ETAG}"'}),
    )
]


def comparable(reply: Reply, client: Client) -> tuple[int, dict[str, str], str]:
    """Return an answer without the parts that depend on the time or the project."""
    body = re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME", reply.body.decode()).replace(client.project, "PROJECT")
    body = re.sub(r'"key":"[0-9a-f]{32}"', '"key":"KEY"', body)
    headers = {name.lower(): text for name, text in reply.headers.items()}
    for name in ("date", "last-modified", "content-length"):
        headers.pop(name, None)
    if headers.get("x-request-id") != "mine":
        headers.pop("x-request-id", None)
    return reply.status, headers, body


async def test_every_request_gets_the_same_answer_on_both_paths(
    service: Running, ordinary: Running, http: ClientSession
) -> None:
    clients = [await open_project(running, http) for running in (service, ordinary)]
    for method, target, body, headers in REQUESTS:
        answers = []
        for client in clients:
            await client.put("d", "k")
            reply = await client.ask(method, target, body, **headers)
            assert ("Last-Modified" in reply.headers) == ("ETag" in reply.headers)
            answers.append(comparable(reply, client))
        assert answers[0] == answers[1], (method, target, body, headers)
