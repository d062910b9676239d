"""Tests access documents that are applied at the same time, in a forced order of their steps."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from service.dialects.avaamo.access import Access
from service.dialects.avaamo.grants import AGENTS, TOKENS, apply_grants
from service.storage import keys
from service.storage.access.directory import Directory, Entry
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from tests.servers import RedisProcess


@pytest.fixture
async def runner(binary: Path) -> AsyncIterator[Runner]:
    with RedisProcess(binary) as server:
        made = Runner.open(server.url)
        await made.redis.connect()
        yield made
        await made.redis.close()


def section(agent: int) -> Access:
    """Return a section that permits a token everything on one agent and nothing on the others."""
    document = {"agents": [{"id": 1}, {"id": 2}], "tokens": [{"token": "t", "agents": {str(agent): "edit"}}]}
    return msgspec.convert(document, Access, strict=False)


async def test_links_of_the_document_declared_last_stay_when_an_earlier_one_is_applied_late(runner: Runner) -> None:
    """The first document is written, then the second one. The grants of the second are made, then those of the first.

    The first has the higher revision, and its grants follow from what the second document declared.
    """
    storage, directory = Storage(runner), Directory(runner)
    first, second = section(1), section(2)
    for written in (first, second):
        await directory.declare("avaamo", [change for change in written.changes() if isinstance(change, Entry)])
    for followed in (second, first):
        await apply_grants(followed, directory, storage)
    (subject,) = {token.subject for token in second.tokens}
    acl = keys.collection("avaamo", "agents", "2", "").acl
    assert await runner.command("HGET", acl, subject, key=acl) is not None
    assert await storage.links.linked("avaamo", TOKENS, "2") == [subject]
    assert "2" in await storage.links.linked("avaamo", AGENTS, subject)  # links may be too many, never too few
