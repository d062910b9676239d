"""Tests that the vendor's page works as printed: each example, and each cURL line in a shell."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from service.verification.conversations import shipped
from tests.conversations import replay
from tests.dialects.ainoflow.client import Client, at

HERE = Path(__file__).parent
HEX = re.compile("[0-9a-f]{32}")


@pytest.mark.parametrize("conversation", shipped("ainoflow"), ids=lambda path: path.stem)
async def test_a_conversation_has_the_written_answers(conversation: Path, project: Client, http: ClientSession) -> None:
    await replay(conversation, http, project.running.url, key=project.key)


def curl(line: str, project: Client) -> tuple[int, Any]:
    """Run one line of the page in a shell; return the status and the JSON of the answer."""
    line = line.replace("https://api.ainoflow.io", project.running.url).replace("YOUR_API_KEY", project.key)
    line = line.replace("curl ", r"curl --silent --show-error --write-out '\n%{http_code}' ", 1)
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


def receipt(category: str, key: str, version: int) -> dict[str, object]:
    return {"category": category, "key": key, "version": version, "expiresAt": None}


async def test_the_curl_lines_work_as_pasted(project: Client) -> None:
    text = (HERE / "vendor_curl.sh").read_text()
    lines = ["curl " + line for line in text.split("\ncurl ")[1:]]
    # Two invoices. The line that sorts by size must show the larger one first.
    await project.put("invoices", "small", b'{"n":1}')
    await project.put("invoices", "large", b'{"n":1000}')
    answers = [curl(line, project) for line in lines]
    assert [status for status, _ in answers] == [201, 201, 200, 200, 200, 200, 200, 200, 200, 200]
    created, locked, stored, patched, temporary, retrieved, categories, items, meta, deleted = (a for _, a in answers)
    written = (created, locked, stored, patched, temporary)
    assert all(HEX.fullmatch(each.pop("etag")) for each in written)
    assert HEX.fullmatch(created["key"])
    assert locked == receipt("user-locks", "document-789", 1)
    assert (stored, patched) == (receipt("config", "app-settings", 1), receipt("config", "app-settings", 2))
    assert temporary["expiresAt"] is not None
    assert retrieved == {"theme": "light", "language": "en", "notifications": {"email": False}}
    assert [each["category"] for each in categories] == ["config", "events", "invoices", "sessions", "user-locks"]
    assert [each["key"] for each in items] == ["large", "small"]
    assert (meta["version"], meta["createdBy"], meta["updatedBy"]) == (2, project.project, project.project)
    assert deleted == {"category": "config", "key": "app-settings"}


async def test_creating_a_lock_again_fails_until_it_is_deleted(project: Client) -> None:
    lock = at("user-locks", "document-789")
    statuses = [(await project.ask("POST", lock, b"{}")).status for _ in range(2)]
    await project.ask("DELETE", lock)
    statuses.append((await project.ask("POST", lock, b"{}")).status)
    assert statuses == [201, 409, 201]
