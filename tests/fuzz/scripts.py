"""Compares the Lua splice in Redis and the Python one with the reference, on texts that Hypothesis makes."""

from time import monotonic

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from tests.servers import RedisProcess, binaries
from tests.storage.splice.conftest import in_python
from tests.storage.splice.reference import merge
from tests.storage.splice.script import Script
from tests.storage.splice.texts import pairs, pairs_of_one

ROUND = 500  # number of examples for one seed


def agree(seconds: float, seed: int) -> tuple[int, str]:
    """Return the number of pairs that were tried, and the error, "" if there was none."""
    end, count = monotonic() + seconds, 0
    with RedisProcess(binaries()[0][1]) as redis:
        script = Script(redis.socket)

        def same(pair: tuple[str, str]) -> None:
            nonlocal count
            count += 1
            expected = merge(*pair)
            assert in_python(*pair) == expected, f"Python: {pair}"
            assert script.splice([pair]) == [expected], f"Lua: {pair}"

        slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
        given_pairs = settings(
            max_examples=ROUND,
            deadline=None,
            database=None,
            suppress_health_check=slow,
            phases=(Phase.generate, Phase.shrink),
        )(given(pair=pairs() | pairs_of_one())(same))
        try:
            while monotonic() < end:
                seeded(seed)(given_pairs)()
                seed += 1
        except AssertionError as error:
            return count, str(error)
        finally:
            script.client.close()
    return count, ""
