"""Tests the measurement of few and many variables, part by part."""

from pathlib import Path

import pytest

from bench import variables
from bench.redis_server import RedisServer


@pytest.mark.parametrize("part", ["lists", "writes", "clear"])
async def test_a_part_can_be_measured_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    monkeypatch.setattr(variables, "FEW", 50)
    monkeypatch.setattr(variables, "TIMES", 2)
    monkeypatch.setattr(variables, "ROUNDS", 2)
    monkeypatch.setattr(variables, "WRITES", 2)
    with RedisServer(tmp_path) as server:
        found = await variables.measure(server, 200, [part], tmp_path, lambda _: None)
    assert found.keys() == {"memory", part}
    assert part != "clear" or found["clear"]["left"] == 0
    assert variables.tabled(found, 200).startswith("| bytes a variable")


@pytest.mark.parametrize("text", ["", "list", "lists,"])
def test_an_unknown_part_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        variables.only(text)
