"""Tests the Redis of the overlays as its pod runs it: `start.sh` and `redis.conf` on a real redis-server."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from service.redis.check import check
from service.redis.client import Redis
from tests.k8s.kustomize import K8S
from tests.k8s.nodes import Node

CONFIG = K8S / "redis" / "redis.conf"


@pytest.fixture
def node(binary: Path) -> Iterator[Node]:
    with Node(binary, K8S / "redis") as started:
        started.wait()
        yield started


async def test_the_check_of_the_service_finds_no_fault_in_this_configuration(node: Node) -> None:
    redis = Redis.open(f"redis://:{node.password}@127.0.0.1:{node.port}/0")
    try:
        await redis.connect(5.0)
        assert await check(partial(redis.lanes[0].execute, write=False)) == []
    finally:
        await redis.close()


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def in_bytes(value: str) -> str:
    """A value as the server writes it: sizes as numbers, no quotes."""
    if size := re.fullmatch(r"(\d+)(mb|gb)", value):
        return str(int(size[1]) << {"mb": 20, "gb": 30}[size[2]])
    return value.strip('"')


def test_every_line_of_the_configuration_has_an_effect(node: Node) -> None:
    settings = [line.split(maxsplit=1) for line in lines(CONFIG) if line and line[0] != "#"]
    assert len({name for name, _ in settings}) == len(settings)
    for name, value in settings:
        if name not in ("bind", "dir", "port"):  # the test has its own
            assert node.config(name) == in_bytes(value), name


@pytest.mark.parametrize("path", [CONFIG, K8S / "overlays" / "cluster" / "cluster.conf"], ids=lambda path: path.stem)
def test_every_line_of_the_configuration_is_explained(path: Path) -> None:
    """The explanation is a comment above the line, or above its group of lines."""
    assert [line for before, line in pairwise(lines(path)) if line and line[0] != "#" and not before] == []


def test_redis_requires_its_password(node: Node) -> None:
    bare = {name: value for name, value in os.environ.items() if name != "REDISCLI_AUTH"}
    done = subprocess.run(["redis-cli", "-p", str(node.port), "ping"], env=bare, capture_output=True, text=True)
    assert "NOAUTH" in done.stdout
    command = Path(f"/proc/{node.pid}/cmdline").read_bytes()
    assert node.password.encode() not in command


def test_redis_does_not_start_without_a_password(tmp_path: Path) -> None:
    shutil.copy(K8S / "redis" / "start.sh", tmp_path)
    done = subprocess.run(
        ["sh", tmp_path / "start.sh"],
        env={"PATH": os.environ["PATH"], "REDIS_PASSWORD": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "fill in secret.env" in done.stderr


async def test_acknowledged_writes_are_there_after_a_kill(node: Node) -> None:
    assert node.ask("set", "a", "1") == "OK"
    await asyncio.to_thread(node.restart)
    assert node.ask("get", "a") == "1"


def test_a_backup_during_writes_is_consistent(node: Node) -> None:
    for number in range(50):
        assert node.ask("set", f"before-{number}", "1") == "OK"
    backup = node.backup()
    assert node.ask("set", "after", "1") == "OK"
    node.restore(backup)
    assert node.ask("dbsize") == "50"


def test_both_passwords_are_accepted_while_they_are_changed(node: Node) -> None:
    assert node.ask("acl", "setuser", "default", ">new") == "OK"
    for password in (node.password, "new"):
        assert node.ask("-a", password, "--no-auth-warning", "ping") == "PONG"
    assert node.ask("-a", "other", "--no-auth-warning", "ping").startswith("NOAUTH")
