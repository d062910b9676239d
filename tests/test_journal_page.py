"""Tests the clients of docs/journal.md: each is as printed, is short, and mirrors a category despite faults."""

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
def test_the_page_shows_the_tested_client(language: str) -> None:
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert blocks == [(ROOT / "docs" / CLIENTS[language][0]).read_text()]
    assert len(blocks[0].splitlines()) <= 30


async def change(project: Client, round: int) -> None:
    """Make changes of all kinds. A change that failed may have been made or not."""
    for number in range(20):
        key = f"k{(7 * round + number) % 30}"
        method, body = [("PUT", b'{"round":\n%d}' % round), ("DELETE", None), ("PATCH", b'{"more":true}')][number % 3]
        try:
            await project.ask(method, at("mirrored", key), body)
        except (ClientError, ConnectionError):
            await asyncio.sleep(0.05)


async def killed(running: Running) -> bool:
    """Kill a worker, if one runs."""
    workers = running.worker_pids()
    if workers:
        os.kill(workers[0], signal.SIGKILL)
    return bool(workers)


async def stored(project: Client) -> dict[str, object]:
    items = (await project.get("mirrored", limit=100)).json + (await project.get("mirrored", limit=100, page=2)).json
    return {item["key"]: item["value"] for item in items}


@pytest.mark.parametrize("language", CLIENTS)
async def test_a_client_of_the_page_mirrors_a_category_despite_any_fault(
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
                if file.exists():
                    client.kill()
                    await client.wait()
                    client = await asyncio.create_subprocess_exec(*command)
            await soon(lambda: _put(project))
            await soon(partial(mirrored, project, file))
        finally:
            client.kill()
            await client.wait()


@pytest.mark.parametrize("language", CLIENTS)
async def test_a_client_of_the_page_copies_again_after_410(
    language: str, service: Running, http: ClientSession, tmp_path: Path
) -> None:
    name, program = CLIENTS[language]
    file = tmp_path / "mirror.json"
    project = await open_project(service, http)
    await keep_journal(project, entries=1)
    for number in range(150):  # more than one page of a list
        await project.put("mirrored", f"k{number}")
    await project.put("mirrored", "__proto__", '["a\u2028b\\n"]'.encode())
    command = [program, str(ROOT / "docs" / name), service.url, project.key, "mirrored", str(file)]
    for _ in range(2):
        client = await asyncio.create_subprocess_exec(*command)
        try:
            await soon(partial(mirrored, project, file))
            await project.ask("DELETE", at("mirrored", "k1"))
            await project.put("mirrored", "k2", b"[null]")
            await soon(partial(mirrored, project, file))
        finally:
            client.kill()
            await client.wait()
        await project.ask("DELETE", at("mirrored", "k3"))
        for number in range(300):
            await project.put("mirrored", "k1", b"[%d]" % number)


async def mirrored(project: Client, file: Path) -> bool:
    return read(file) == await stored(project)


def read(file: Path) -> dict[str, object] | None:
    return dict(json.loads(file.read_text())["documents"]) if file.exists() else None


async def _put(project: Client) -> bool:
    try:
        return (await project.ask("PUT", at("mirrored", "last"), b"{}")).status == 200
    except (ClientError, ConnectionError):
        return False
