"""Tests that the vendor's two pages work as printed: each example, and each code that they list."""

from pathlib import Path

import pytest
from aiohttp import ClientSession

from service.verification.conversations import shipped
from tests.conversations import replay
from tests.dialects.auravant.client import CALLERS
from tests.running import Running

CONVERSATIONS = shipped("auravant")


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda path: path.stem)
async def test_a_conversation_has_the_written_answers(
    conversation: Path, service: Running, http: ClientSession
) -> None:
    await replay(conversation, http, service.url, here=service.url, **CALLERS)
