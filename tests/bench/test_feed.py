"""Tests the measurement of the feed's delay, in its shortest form."""

import json

import pytest

from bench import feed


def test_each_change_reaches_each_follower(capsys: pytest.CaptureFixture[str]) -> None:
    assert feed.main(["--seconds", "0.5", "--rate", "200", "--writers", "5", "--followers", "2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["missing"] == 0
    assert told["changes a second"] > 0
    assert 0 <= told["delay in ms"]["median"] <= told["delay in ms"]["p99"] <= told["delay in ms"]["most"]
