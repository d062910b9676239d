"""Tests the walk by cursor beside writers: a short one, and that its check notices missing and repeated documents."""

import pytest

from bench import cursors
from bench.cursors import Walk


def test_each_document_is_listed_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert cursors.main(["--documents", "600", "--writers", "3", "--limit", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["createdAt", "key"]
    assert all("0 missing, 0 repeated" in line for line in lines)


def test_missing_and_repeated_documents_are_counted() -> None:
    walk = Walk("key", 10)
    walk.seen = ["000000000", "000000002", "000000002", "000000001-7", "000000001-7"]
    assert walk.faults(3) == (1, 1)


def test_an_unreachable_service_ends_the_run_with_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cursors, "TARGET", "/api/v1/storage/json/paged/none")
    assert cursors.main(["--documents", "10", "--writers", "1"]) == 1
    assert "cursors: " in capsys.readouterr().err
