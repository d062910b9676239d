"""Tests peek: reads a record with files, and the time."""

import pytest

from service.storage.files.attachments import Attached, Attachments
from service.storage.scripts.runner import Runner
from tests.storage.keyspace import Keyspace
from tests.storage.pieces import AREA, RECORD
from tests.storage.test_attach import attach


@pytest.fixture
def attachments(runner: Runner) -> Attachments:
    return Attachments(runner)


async def test_the_time_is_that_of_redis(attachments: Attachments, keyspace: Keyspace) -> None:
    await attach(attachments)
    before = keyspace.now()
    attached = await attachments.peek(AREA, "")
    assert attached is not None
    assert before <= attached.at <= keyspace.now()


async def test_a_record_that_has_expired_by_the_returned_time_is_none(
    attachments: Attachments, keyspace: Keyspace
) -> None:
    """Redis hides it by the time at which a script began, and shows its string until then."""
    await attach(attachments, lifetime="+100000")
    packed = keyspace.command("GET", RECORD)
    found = Attached.unpack((keyspace.now(), packed))
    assert found is not None
    assert Attached.unpack((found.record.expires * 1000 + 999, packed)) is not None
    assert Attached.unpack((found.record.expires * 1000 + 1000, packed)) is None
    assert Attached.unpack((0, None)) is None


async def test_only_the_expected_keys_remain(attachments: Attachments, keyspace: Keyspace) -> None:
    assert await attachments.peek(AREA, "") is None
    assert keyspace.names() == set()
