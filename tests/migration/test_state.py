"""Tests damaged state files of `polystow migrate`: each ends with a message and the same exit status."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.running import Running, polystow

VENDOR = "http://127.0.0.1:9"  # is not asked before the state is known to be right
TASK = {"dialect": "avaamo", "server": VENDOR, "agent": "987653", "users": ""}


def state(**parts: Any) -> bytes:
    return json.dumps({"format": 1, "task": TASK, "parts": parts}).encode()


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (state(ids={"position": "1 2"})[:-3], "is not the state of a migration"),
        (b'{"more":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is not the state of a migration"),
        (state(ids={"position": 1}), "is not the state of a migration"),
        (state(ids={"done": "yes"}), "is not the state of a migration"),
        (state(ids={"position": "1"}), "must have numbers as positions, not '1'"),
        (state(ids={"position": "1 x"}), "must have numbers as positions, not '1 x'"),
        (state(ids={"position": "1 2"}, variables={"position": "x"}), "must have numbers as positions, not 'x'"),
    ],
    ids=["cut", "deep", "number", "flag", "one number", "no number", "no page"],
)
def test_a_damaged_state_is_refused_with_a_message(
    service: Running, tmp_path: Path, contents: bytes, said: str
) -> None:
    (tmp_path / "state").write_bytes(contents)
    named = ("--from", VENDOR, "--token-env", "POLYSTOW_TOKEN", "--agent", TASK["agent"])
    redis = f"unix://{service.data_dir}/redis.sock"
    done = polystow("migrate", "avaamo", *named, "--state", str(tmp_path / "state"), redis_url=redis, token="t")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert said in done.stderr
