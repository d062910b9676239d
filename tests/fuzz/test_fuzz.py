"""What strangers send breaks nothing: a short run. `make fuzz` goes on for as long as asked."""

from collections.abc import Callable
from random import Random

from tests.fuzz.edge import fuzz
from tests.fuzz.requests import SEEDS, broken
from tests.running import Running

REQUESTS = 1_500


async def test_no_broken_request_is_a_5xx_or_ends_a_worker(serve: Callable[..., Running]) -> None:
    running = serve()
    statuses, found = await fuzz(running, seed=1, requests=REQUESTS)
    assert found == []
    assert {200, 400, 401, 404, 405} <= set(statuses)
    assert "Traceback" not in running.log


def test_the_fuzzer_sends_sound_requests_and_broken_ones() -> None:
    sent = {broken(Random(number)) for number in range(1000)}
    assert len(sent) > 800
    assert len(sent & set(SEEDS)) > 5
