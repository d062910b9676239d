"""`make run`: the lines that it prints work as they are pasted, again and again."""

import asyncio
import shlex
from collections.abc import Iterator

import pytest
from aiohttp import ClientSession

from tests.running import Running, eventually


@pytest.fixture
def demo() -> Iterator[Running]:
    running = Running("service.demo", ())
    yield running.wait_ready()
    running.close()


async def pasted(http: ClientSession, line: str) -> int:
    """Run one printed line as a shell and curl would; the status of the answer."""
    words = shlex.split(line, comments=True)
    assert words[:5] == ["curl", "-sS", "-w", "\\n", "-X"]
    method, url, *options = words[5:]
    given = list(zip(options[::2], options[1::2], strict=True))
    headers = dict(value.split(": ", 1) for option, value in given if option == "-H")
    data = next((value for option, value in given if option == "-d"), None)
    async with http.request(method, url, headers=headers, data=data) as answer:
        await answer.read()
        return answer.status


async def test_the_printed_lines_work_as_pasted(demo: Running, http: ClientSession) -> None:
    await asyncio.to_thread(eventually, lambda: "Ctrl-C" in demo.output)
    lines = [line for line in demo.output.splitlines() if line.startswith("curl")]
    for _ in range(2):
        assert [await pasted(http, line) for line in lines] == [201, *[200] * 11]


def test_the_demo_listens_on_loopback_alone(demo: Running) -> None:
    assert demo.url.startswith("http://127.0.0.1:")
