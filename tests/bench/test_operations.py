"""Tests the measurement of each operation alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench import operations
from bench.redis_server import RedisServer


async def test_every_operation_is_timed_at_each_of_its_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "FEW", 60)
    monkeypatch.setattr(operations, "SIZES", (125, 1024))
    monkeypatch.setattr(operations, "SWEEPS", 1)
    monkeypatch.setattr(operations, "DUE_MS", 500)
    monkeypatch.setattr(
        operations, "OPERATIONS", [replace(each, times=1 if each.before else 3) for each in operations.OPERATIONS]
    )
    with RedisServer(tmp_path) as server:
        found = await operations.measure(server, 100, lambda _: None)
    assert [row["operation"] for row in found] == [each.title for each in operations.OPERATIONS]
    for row, operation in zip(found, operations.OPERATIONS, strict=True):
        assert row["us"].keys() == ({"125", "1024"} if operation.sized else {"125"})
    printed = operations.tabled(found, 100)
    assert len(printed.splitlines()) == len(found) + 2
