"""Tests that each example of the vendor's page works as printed, on both paths, and that open points are as decided."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import ClientSession

from service.verification.conversations import shipped
from tests.conversations import replay
from tests.running import Running

CONVERSATIONS = pytest.mark.parametrize("conversation", shipped("genesys"), ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def ordinary() -> Iterator[Running]:
    """A service without the fast path."""
    with Running(fast_path="false") as running:
        yield running.wait_ready()


@CONVERSATIONS
async def test_a_conversation_has_the_written_answers(
    conversation: Path, service: Running, http: ClientSession
) -> None:
    await replay(conversation, http, service.url, url=service.url, user=uuid4().hex, custom=uuid4().hex)


@CONVERSATIONS
async def test_a_conversation_has_the_written_answers_without_the_fast_path(
    conversation: Path, ordinary: Running, http: ClientSession
) -> None:
    await replay(conversation, http, ordinary.url, url=ordinary.url, user=uuid4().hex, custom=uuid4().hex)
