"""Tests that the lines that `make run` prints, and those of the README, work as they are printed."""

import asyncio
import shlex
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, FormData

from tests.running import Running, eventually

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def demo() -> Iterator[Running]:
    running = Running("service.demo", ())
    yield running.wait_ready()
    running.close()


CURL = ArgumentParser()
CURL.add_argument("url")
CURL.add_argument("-sS", action="store_true")
for option in ("-X", "-d", "-w"):
    CURL.add_argument(option)
for option in ("-H", "-F"):
    CURL.add_argument(option, action="append", default=[])


async def pasted(http: ClientSession, line: str) -> tuple[int, bytes]:
    """Run one line as a shell and curl would; return the status and the body of the answer."""
    given = CURL.parse_args(shlex.split(line, comments=True)[1:])
    headers = dict(header.split(": ", 1) for header in given.H)
    data: str | FormData | None = given.d
    if given.F:
        data = FormData()
        for name, _, value in (field.partition("=") for field in given.F):
            file = value.startswith("@")
            data.add_field(name, (ROOT / value[1:]).read_bytes() if file else value, filename="f" if file else None)
    elif given.d is not None:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} | headers
    async with http.request(given.X or "GET", given.url, headers=headers, data=data) as answer:
        return answer.status, await answer.read()


async def test_the_printed_lines_work_as_pasted(demo: Running, http: ClientSession) -> None:
    await asyncio.to_thread(eventually, lambda: "Ctrl-C" in demo.output)
    lines = [line for line in demo.output.splitlines() if line.startswith("curl")]
    for _ in range(2):
        assert [(await pasted(http, line))[0] for line in lines] == [201, *[200] * 11]


async def test_the_lines_of_the_readme_work_as_pasted(demo: Running, http: ClientSession) -> None:
    text = (ROOT / "README.md").read_text().replace("\\\n", " ").replace("http://127.0.0.1:8080", demo.url)
    lines = [line for line in text.splitlines() if line.startswith("    curl ")]
    answers = [await pasted(http, line) for line in lines]
    assert [status for status, _ in answers] == [200] * len(lines)
    assert all(b'"code":0' in body for line, (_, body) in zip(lines, answers, strict=True) if "mktplace" in line)
    assert len(lines) >= 5


def test_the_demo_listens_on_loopback_only(demo: Running) -> None:
    assert demo.url.startswith("http://127.0.0.1:")
