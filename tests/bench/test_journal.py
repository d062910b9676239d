"""Tests the measurement of what a journal costs a PUT, in its shortest form."""

import json

import pytest

from bench import journal


def test_both_projects_are_measured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LEAST", 0.0)  # how fast it is says nothing here
    assert journal.main(["--rounds", "1", "--seconds", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert min(told["PUTs a second"].values()) > 0
    assert min(told["microseconds of Redis for one"].values()) > 0
    assert told["ratio"] > 0
