"""Tests that the vendor's page works as printed: each example, and each cURL line in a shell."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from service.verification.conversations import shipped
from tests.conversations import replay
from tests.dialects.avaamo.client import Client

HERE = Path(__file__).parent


@pytest.mark.parametrize("conversation", shipped("avaamo"), ids=lambda path: path.stem)
async def test_a_conversation_has_the_written_answers(conversation: Path, agent: Client, http: ClientSession) -> None:
    await replay(conversation, http, agent.running.url, token=agent.token, agent=str(agent.agent))


def curl(line: str, agent: Client) -> tuple[int, Any]:
    """Run one line of the page in a shell; return the status and the JSON of the answer."""
    for printed, ours in (
        ("https://cx.avaamo.com", agent.running.url),
        ("xxxxxx8d9952499ea466fc007dxxxxxx", agent.token),
        ("20xxx", str(agent.agent)),
        ("8017", str(agent.agent)),
    ):
        line = line.replace(printed, ours)
    line = line.replace("curl ", r"curl --silent --show-error --write-out '\n%{http_code}' ", 1)
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


async def test_the_curl_lines_work_as_pasted(agent: Client) -> None:
    text = (HERE / "vendor_curl.sh").read_text()
    got, posted = ("curl " + line for line in text.split("\ncurl ")[1:])
    assert curl(posted, agent) == (200, {"status": 201})
    status, body = curl(got, agent)
    assert (status, body["total_entries"], body["per_page"]) == (200, 1, 1)
    assert (body["storage"][0]["key"], body["storage"][0]["user"]["id"]) == ("role", 8880460)
