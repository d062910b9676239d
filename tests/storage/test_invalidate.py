"""invalidate: every worker looks up again what it kept. test_directory.py has what that means."""

from service.storage import keys
from service.storage.access.directory import Directory
from service.storage.scripts.runner import Runner
from tests.storage.keyspace import Keyspace


async def test_the_epoch_grows_with_every_change(runner: Runner, keyspace: Keyspace) -> None:
    for generation in (b"1", b"2", b"3"):
        await Directory(runner).invalidate()
        assert keyspace.command("GET", keys.GENERATION) == generation


async def test_the_keys_left(runner: Runner, keyspace: Keyspace) -> None:
    await Directory(runner).invalidate()
    assert keyspace.names() == {keys.GENERATION}
    assert keyspace.command("TTL", keys.GENERATION) == -1
