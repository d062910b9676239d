"""Tests that this version starts on the data directory of an earlier version, reads everything and continues."""

import json
import tarfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from service.storage import keys
from tests.records import RECORDS, Client
from tests.running import Running, polystow
from tests.upgrade.make import answers, archive


@pytest.fixture(scope="module", params=["0.1"])
def left(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a version: the folder `data` and its answers."""
    directory = tmp_path_factory.mktemp("left")
    with tarfile.open(archive(request.param)) as packed:
        packed.extractall(directory, filter="data")
    return directory


@pytest.fixture(scope="module")
def upgraded(left: Path) -> Iterator[Running]:
    with Running(data_dir=left / "data") as running:
        yield running.wait_ready()


def test_every_answer_is_the_same_to_the_byte(left: Path, upgraded: Running) -> None:
    before = {name: b64decode(said) for name, said in json.loads((left / "answers.json").read_text()).items()}
    now = answers(Client(upgraded.url))
    assert before.keys() == now.keys()
    for name, answer in before.items():
        assert now[name] == answer, name


def test_fsck_finds_nothing(upgraded: Running) -> None:
    done = polystow("fsck", data_dir=upgraded.data_dir)
    assert (done.returncode, done.stdout) == (0, "0 faults found\n"), done.stderr


def test_the_generation_of_access_continues_after_an_upgrade(upgraded: Running) -> None:
    """Workers of 0.1 watch it while both versions serve."""
    assert keys.GENERATION == "polystow:epoch"
    with upgraded.redis as redis:
        before = int(cast("bytes", redis.get(keys.GENERATION)))
        assert before > 0
        done = polystow(
            "access", "apply", "-", data_dir=upgraded.data_dir, stdin=b"avaamo: {tokens: [{token: new-one}]}"
        )
        assert done.returncode == 0, done.stderr
        assert int(cast("bytes", redis.get(keys.GENERATION))) > before


def test_each_record_can_be_written_again(upgraded: Running) -> None:
    client = Client(upgraded.url)
    for record in RECORDS:
        record.write(client)
    for record in RECORDS:
        assert record.content in record.read(client), record.name
    test_fsck_finds_nothing(upgraded)
