"""Tests detach: removes a record with files and its chunks."""

import pytest

from service.storage.errors import Changed, NotFound
from service.storage.files.attachments import Attachments
from service.storage.records.write import Write
from service.storage.scripts.runner import Runner
from tests.storage.keyspace import Keyspace
from tests.storage.pieces import AREA, blob_chunks
from tests.storage.test_attach import attach


@pytest.fixture
def attachments(runner: Runner) -> Attachments:
    return Attachments(runner)


async def test_a_missing_record_cannot_be_removed(attachments: Attachments) -> None:
    with pytest.raises(NotFound):
        await attachments.detach(Write(AREA, ""))


async def test_a_record_with_blobs_is_only_removed_in_the_state_that_was_read(
    attachments: Attachments, keyspace: Keyspace
) -> None:
    await attach(attachments)
    names = keyspace.names()
    old = await attachments.peek(AREA, "")
    with pytest.raises(Changed):
        await attachments.detach(Write(AREA, ""))
    assert keyspace.names() == names
    await attach(attachments, before=old)
    with pytest.raises(Changed):
        await attachments.detach(Write(AREA, ""), old)
    await attachments.detach(Write(AREA, ""), await attachments.peek(AREA, ""))
    assert await attachments.peek(AREA, "") is None


async def test_only_the_expected_keys_remain(attachments: Attachments, keyspace: Keyspace) -> None:
    await attach(attachments)
    await attachments.detach(Write(AREA, ""), await attachments.peek(AREA, ""))
    assert keyspace.names() == blob_chunks(keyspace, let_go=True)
    assert len(keyspace.names()) == 3
