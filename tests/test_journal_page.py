"""The clients of docs/journal.md: each mirrors a category, whatever fails, and is what the page shows."""

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession

from tests.dialects.ainoflow.client import Client, at, open_project
from tests.dialects.ainoflow.events import keep_journal
from tests.running import ROOT, Running, soon

PAGE = (ROOT / "docs" / "journal.md").read_text()
CLIENTS = {"python": ("mirror.py", sys.executable), "js": ("mirror.mjs", "node")}


@pytest.mark.parametrize("language", CLIENTS)
def test_the_page_shows_the_client_that_is_tried(language: str) -> None:
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert blocks == [(ROOT / "docs" / CLIENTS[language][0]).read_text()]


async def change(project: Client, round: int) -> None:
    """Make changes of all kinds; one that failed may be done or not."""
    for number in range(20):
        key = f"k{(7 * round + number) % 30}"
        method, body = [("PUT", b'{"round":\n%d}' % round), ("DELETE", None), ("PATCH", b'{"more":true}')][number % 3]
        try:
            await project.ask(method, at("mirrored", key), body)
        except (ClientError, ConnectionError):
            await asyncio.sleep(0.05)


async def killed(running: Running) -> bool:
    """Kill a worker, if there is one."""
    workers = running.worker_pids()
    if workers:
        os.kill(workers[0], signal.SIGKILL)
    return bool(workers)


async def stored(project: Client) -> dict[str, object]:
    items = (await project.get("mirrored", limit=1000)).json
    return {item["key"]: item["value"] for item in items}


@pytest.mark.parametrize("language", CLIENTS)
async def test_a_client_of_the_page_mirrors_a_category_whatever_fails(
    language: str, http: ClientSession, tmp_path: Path
) -> None:
    name, program = CLIENTS[language]
    assert shutil.which(program)
    file = tmp_path / "mirror.json"
    with Running(workers=2) as running:
        project = await open_project(running.wait_ready(), http)
        await keep_journal(project)
        await change(project, 0)
        command = [program, str(ROOT / "docs" / name), running.url, project.key, "mirrored", str(file)]
        client = await asyncio.create_subprocess_exec(*command)
        try:
            for round in range(1, 6):
                await change(project, round)
                await soon(partial(killed, running))
                await change(project, round + 10)
            await soon(lambda: _put(project))
            wanted = await stored(project)

            async def mirrored() -> bool:
                return file.exists() and file.read_text() != "" and json.loads(file.read_text()) == wanted

            await soon(mirrored)
        finally:
            client.kill()
            await client.wait()


async def _put(project: Client) -> bool:
    try:
        return (await project.ask("PUT", at("mirrored", "last"), b"{}")).status == 200
    except (ClientError, ConnectionError):
        return False
