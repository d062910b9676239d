"""Tests the files that measurements write."""

import json
import os
import socket
from pathlib import Path

from bench.results import shown, table, write


def test_results_have_command_date_and_hardware_but_no_paths(tmp_path: Path) -> None:
    path = write(tmp_path, "some", ["--quick", "--out", str(tmp_path)], {"figure": 1})
    written = json.loads(path.read_text())
    assert written["figure"] == 1
    assert written["command"].endswith("--quick")
    assert {"date", "hardware", "versions"} <= written.keys()
    assert str(tmp_path) not in path.read_text()
    assert os.getcwd() not in path.read_text()
    assert written["hardware"].keys() == {"cpu", "cores", "memory_gib", "kernel"}
    assert socket.gethostname() not in written["hardware"].values()


def test_the_directory_of_the_results_is_left_out_of_the_command() -> None:
    assert shown(["--quick", "--out", "x", "--only", "get"]) == ["--quick", "--only", "get"]
    assert shown(["--out=x"]) == []


def test_the_directory_of_an_earlier_checkout_is_not_in_the_results() -> None:
    assert shown(["--before", "/home/x", "--quick"]) == shown(["--before=/home/x", "--quick"])
    assert shown(["--before", "/home/x", "--quick"]) == ["--before", "DIR", "--quick"]


def test_a_table_is_markdown_with_right_aligned_figures() -> None:
    assert table(["", "a"], [["row", 1], ["r", 100]]).splitlines() == [
        "|     |   a |",
        "| --- | --: |",
        "| row |   1 |",
        "| r   | 100 |",
    ]
