"""announce: every worker looks up again what it kept. test_directory.py has what that means."""

from service.storage import keys
from service.storage.access.directory import Directory
from service.storage.scripts.runner import Runner
from tests.storage.keyspace import Keyspace


async def test_the_epoch_grows_with_every_change(runner: Runner, keyspace: Keyspace) -> None:
    for epoch in (b"1", b"2", b"3"):
        await Directory(runner).announce()
        assert keyspace.command("GET", keys.EPOCH) == epoch


async def test_the_keys_left(runner: Runner, keyspace: Keyspace) -> None:
    await Directory(runner).announce()
    assert keyspace.names() == {keys.EPOCH}
    assert keyspace.command("TTL", keys.EPOCH) == -1
