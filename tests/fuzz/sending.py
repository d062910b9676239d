"""Sends broken requests to a running service, and checks the answers.

Every answer must be valid HTTP, and none may be a 5xx that reports a fault. The same workers must serve afterwards.
"""

import asyncio
import re
from collections import Counter
from random import Random

from tests.fuzz.requests import NOT_SERVED, broken
from tests.raw_http import DOCUMENTS, connected
from tests.running import Running

STATUS = re.compile(rb"HTTP/[01]\.[0-9] (\d{3}) ")
PATIENCE = 0.15  # seconds to wait for an answer if the service may still be waiting for the rest of the request


async def fuzz(running: Running, seed: int, requests: int, at_once: int = 32) -> tuple[Counter[int], list[str]]:
    """Send requests; return the number of answers of each status, and the errors."""
    statuses: Counter[int] = Counter()
    found: list[str] = []
    workers = running.worker_pids()

    async def some(first: int) -> None:
        for number in range(first, requests, at_once):
            sent = broken(Random(f"{seed} {number}"))
            got = await _answer(running, sent, Random(number))
            codes = [int(code) for code in STATUS.findall(got)]
            statuses.update(codes or [0])
            if (got and not STATUS.match(got)) or any(code >= 500 for code in codes if code not in NOT_SERVED):
                found.append(f"request {number} of seed {seed}: {sent!r:.300} -> {got!r:.300}")

    await asyncio.gather(*(some(first) for first in range(at_once)))
    async with connected(running) as wire:
        if (await wire.ask("PUT", f"{DOCUMENTS}/after/k", b"{}")).status != 200:
            found.append("the service does not serve any more")
    if running.worker_pids() != workers:
        found.append("a worker died")
    return statuses, found


async def _answer(running: Running, sent: bytes, random: Random) -> bytes:
    got = b""
    try:
        async with connected(running) as wire:
            cut = random.randrange(1, len(sent)) if len(sent) > 1 else 1
            await wire.send(*([sent] if random.random() < 0.7 else [sent[:cut], sent[cut:]]))
            async with asyncio.timeout(PATIENCE):
                while piece := await wire.some():
                    got += piece
    except (TimeoutError, OSError):
        pass  # the service waits for the rest, or has closed the connection
    return got
