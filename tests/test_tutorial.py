"""Tests the dialect of docs/tutorial.md, which is assembled from the page's code blocks, in a real service."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import run

import pytest
from aiohttp import ClientSession

from service.verification.conversations import load
from tests.conversations import replay
from tests.running import ROOT, Running, environment

PAGE = (ROOT / "docs" / "tutorial.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree that has the dialect of the page, too."""
    tree = tmp_path_factory.mktemp("tutorial")
    for part in ("service", "lua"):
        shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "service" / "dialects" / "notes.py").write_text("\n\n".join(blocks("python")))
    shutil.copy(ROOT / "pyproject.toml", tree)
    return tree


@pytest.fixture(scope="module")
def notes(tree: Path) -> Iterator[Running]:
    """A running service of that tree, with the access document of the page."""
    program = tree / "polystow"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{tree}" exec "{sys.executable}" -m service "$@"\n')
    program.chmod(0o755)
    (tree / "access.yaml").write_text("".join(blocks("yaml")))
    with Running(program=program, access=tree / "access.yaml", cors_origins="https://app.example") as running:
        yield running.wait_ready()


async def test_the_dialect_of_the_page_holds_the_conversation_of_the_page(
    notes: Running, http: ClientSession, tmp_path: Path
) -> None:
    conversation = tmp_path / "notes.http"
    conversation.write_text("".join(blocks("http")))
    assert len(list(load(conversation))) == conversation.read_text().count("### ")
    await replay(conversation, http, notes.url)


async def test_a_browser_may_send_the_credential_of_the_dialect_of_the_page(
    notes: Running, http: ClientSession
) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}
    async with http.options(notes.url + "/notes/v1/milk", headers=asked) as answer:
        assert answer.status == 204
        assert "x-notes-token" in answer.headers["Access-Control-Allow-Headers"].split(", ")


async def test_the_dialect_of_the_page_has_an_openapi_document(notes: Running, http: ClientSession) -> None:
    async with http.get(notes.url + "/openapi/notes.json") as answer:
        document = json.loads(await answer.read())
    assert {*document["paths"]["/notes/v1/{name}"]} >= {"put", "get", "delete"}


@pytest.mark.parametrize("command", ["ruff check", "mypy --follow-imports silent"])
def test_the_dialect_of_the_page_passes_the_checks_of_the_tree(tree: Path, command: str) -> None:
    """The checks are those of `make lint`; the types of imported modules are checked only there.

    mypy keeps what it learned of those modules for the next run: their copies are as old as the originals.
    """
    tool, *arguments = command.split()
    checked = [sys.executable, "-m", tool, *arguments, "service/dialects/notes.py"]
    kept = {"MYPY_CACHE_DIR": str(ROOT / ".mypy_cache" / "tutorial")}
    done = run(checked, cwd=tree, env=environment({}) | kept, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_empty_section_of_its_access_document_declares_nothing(tree: Path) -> None:
    said = "from service.dialects.notes import Access; print(list(Access().changes()))"
    done = run([sys.executable, "-c", said], cwd=tree, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
