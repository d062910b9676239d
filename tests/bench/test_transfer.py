"""Tests the measurement of export and import beside a service, in its shortest form, and its bounds."""

import json
from pathlib import Path

import pytest

from bench import transfer
from bench.transfer import Moved
from tests.running import START_SECONDS

SHORT = ["--documents", "300", "--quiet", "0.2"]


def test_export_and_import_are_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The times are not compared with bounds here, because they are the machine's."""
    monkeypatch.setattr(transfer, "SECONDS", START_SECONDS)
    monkeypatch.setattr(transfer, "TIMES", float("inf"))
    assert transfer.main([*SHORT, "--json", str(tmp_path / "figures.json")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "figures.json").read_text())
    assert [moved["command"] for moved in told["moved"]] == ["export", "import"]
    for moved in told["moved"]:
        assert 0 < moved["peak_mb"] <= transfer.MEMORY
        assert moved["requests"] > 0


def test_a_broken_bound_is_named() -> None:
    good = Moved("import", seconds=60.0, documents_a_second=20000, peak_mb=150, quiet_p99=1.0, p99=3.0, requests=9)
    assert good.broken() == []
    bad = Moved("import", seconds=60.1, documents_a_second=20000, peak_mb=151, quiet_p99=1.0, p99=3.1, requests=9)
    assert [text.split(",")[0] for text in bad.broken()] == [
        "import took 60.1 s",
        "import used 151 MB",
        "import: p99 3.1 ms",
    ]


def test_a_refused_request_of_the_client_ends_the_run_with_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(transfer, "HEAD", "Host: bench\r\nAuthorization: Bearer none\r\n")
    assert transfer.main(SHORT) == 1
    assert "transfer: PUT: HTTP/1.1 401" in capsys.readouterr().err
