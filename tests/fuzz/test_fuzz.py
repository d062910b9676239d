"""Tests a short run with malformed requests, which must break nothing. `make fuzz` makes long runs."""

from collections.abc import Callable
from random import Random

import pytest

from tests.fuzz.requests import SEEDS, broken
from tests.fuzz.sending import fuzz
from tests.raw_http import DOCUMENTS, connected, request
from tests.running import Running

REQUESTS = 1_500


async def test_no_malformed_request_gets_a_5xx_or_ends_a_worker(serve: Callable[..., Running]) -> None:
    running = serve()
    statuses, found = await fuzz(running, seed=1, requests=REQUESTS)
    assert found == []
    assert {200, 400, 401, 404, 405} <= set(statuses)
    assert "Traceback" not in running.log


def test_the_fuzzer_sends_valid_and_malformed_requests() -> None:
    sent = {broken(Random(number)) for number in range(1000)}
    assert len(sent) > 800
    assert len(sent & set(SEEDS)) > 5


@pytest.mark.parametrize("token", ["ak-1", "unknown"])
async def test_an_invalid_gzip_body_logs_no_traceback(serve: Callable[..., Running], token: str) -> None:
    """Otherwise anybody could fill the log, even without a key."""
    running = serve()
    sent = request("PUT", f"{DOCUMENTS}/c/k", b"this is no gzip", "Content-Encoding: gzip")
    async with connected(running) as wire:
        await wire.send(sent.replace(b"ak-1", token.encode()))
        assert (await wire.response()).status == (400 if token == "ak-1" else 401)
    assert "Traceback" not in running.log
