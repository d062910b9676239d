"""Tests the measurement of PUTs beside followers, in its shortest form."""

import json

import pytest

from bench import followers


def test_each_follower_receives_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert followers.main(["--followers", "20", "--categories", "2", "--seconds", "0.5"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["changes received"] == told["PUTs"] * 10
    assert 0 < told["PUT in ms"]["median"] <= told["PUT in ms"]["p99"] <= told["PUT in ms"]["most"]


def test_streams_that_nobody_reads_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert followers.main(["--followers", "5", "--seconds", "0.2", "--unread"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["changes received"] == 0
    assert 0 < told["MiB before, at most"][0] <= told["MiB before, at most"][1]
