"""Tests that the curl lines of the pages work as they are printed, in a shell, against a running demo."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import ROOT, Running, environment

PAGES = sorted(path for path in ROOT.rglob("*.md") if not {".venv", "tests"} & {*path.relative_to(ROOT).parts})
AUTHORITY = "http://127.0.0.1:8080"
OPERATIONS = "http://127.0.0.1:8081"
SECONDS = 100  # for one line: much longer than it takes


@pytest.fixture(scope="module")
def demo() -> Iterator[Running]:
    with Running("service.demo", ()) as running:
        yield running.wait_ready()


def curl_lines(page: Path) -> list[str]:
    """Return the curl commands of a page: those in indented and fenced blocks, and those in sentences."""
    text = page.read_text()
    blocks = re.findall(r"^ *curl .*(?:(?<=\\)\n.*)*", text, re.MULTILINE)
    quoted = [re.sub(r"\s+", " ", found) for found in re.findall(r"`(curl -[^`]*http[^`]*)`?", text)]
    return [re.sub(r"\\\n\s*", "", line).strip() for line in (*blocks, *quoted)]


LINES = [(page.relative_to(ROOT), line) for page in PAGES for line in curl_lines(page)]


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{page}-{number}" for number, (page, _) in enumerate(LINES)])
def test_a_curl_line_of_a_page_works_as_pasted(demo: Running, tmp_path: Path, page: Path, line: str) -> None:
    assert {AUTHORITY, OPERATIONS} & set(re.findall(r"http://[\w.]+:\d+", line)), "it names another service"
    line = line.replace(AUTHORITY, demo.url).replace(OPERATIONS, demo.ops_url)
    for name in ("README.md", "access.yaml"):
        shutil.copy(ROOT / ("README.md" if name == "README.md" else "service/demo.yaml"), tmp_path / name)
    done = subprocess.run(
        ["bash", "-c", line.replace("curl ", r"curl --silent --show-error --write-out '\n%{http_code}' ", 1)],
        cwd=tmp_path,
        env=environment({}) | {"TOKEN": demo.admin_token},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    body, _, status = done.stdout.rpartition("\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert status.startswith("2"), done.stdout
    if "/api/mktplace/" in line:
        assert re.match(r'\{"code":0\b', re.sub(r"\s", "", body)), body  # Auravant answers errors with 200, too


def test_the_pages_have_curl_lines_of_every_dialect() -> None:
    readme = "\n".join(line for page, line in LINES if str(page) == "README.md")
    for path in ("/api/v1/storage/json", "/api/mktplace/storage", "/dashboard/bots", "/genesys/1/storage"):
        assert path in readme
