"""Request rates: the number of requests that a caller may send in a span of time."""

from service.storage import keys
from service.storage.scripts.runner import Runner


class Rates:
    """The operations on rates."""

    def __init__(self, runner: Runner) -> None:
        self._run = runner.run

    async def throttle(self, dialect: str, caller: str, requests: int, seconds: float) -> None:
        """Count one request of a caller whose rate is `requests` per `seconds`. Raises Throttled."""
        interval = max(1, round(seconds * 1_000_000 / requests))
        await self._run("throttle", (keys.rate(dialect, caller),), interval=interval, burst=requests)
