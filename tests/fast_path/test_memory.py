"""Tests that the memory that a worker needs for known requests is limited, however many different ones there are."""

from tests.memory import resident
from tests.raw_http import DOCUMENTS, connected, request
from tests.running import Running

HEADS = 150
LINES = 32  # of each head
LONG = 60_000  # bytes of a request line
MOST = 20_000_000


async def test_long_request_lines_of_many_heads_are_not_kept() -> None:
    with Running() as running:
        (worker,) = running.wait_ready().worker_pids()
        async with connected(running) as wire:

            async def ask(head: int, line: int) -> int:
                category = f"{head:03}-{line:03}-".ljust(LONG, "k")
                await wire.send(request("GET", f"{DOCUMENTS}/{category}/k", None, f"X-Head: {head}"))
                return (await wire.response()).status

            for line in range(LINES):
                assert await ask(HEADS, line) in range(400, 500)
            before = resident(worker)
            for head in range(HEADS):
                for line in range(LINES):
                    assert await ask(head, line) in range(400, 500)
            assert resident(worker) - before < MOST
