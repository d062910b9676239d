"""The number of users of a load test over time: the shapes, as functions that do not depend on Locust."""

from collections.abc import Callable

Profile = Callable[[float, float, int], int | None]  # seconds since the start, seconds in all, most users: users


def hold(at: float, seconds: float, users: int) -> int | None:
    """Keep the same number of users all the time."""
    return users if at < seconds else None


def spike(at: float, seconds: float, users: int) -> int | None:
    """Run a fifth of the users, and all of them in the middle fifth of the time, to see if the service recovers."""
    if at >= seconds:
        return None
    return users if 0.4 * seconds <= at < 0.6 * seconds else max(1, users // 5)


def soak(at: float, seconds: float, users: int) -> int | None:
    """Run all users for a long time. Their number rises in the first tenth; after it, the load is constant."""
    if at >= seconds:
        return None
    return max(1, min(users, int(users * at / (0.1 * seconds))))


PROFILES: dict[str, Profile] = {"hold": hold, "spike": spike, "soak": soak}
RAMP = "ramp"


class Ramp:
    """Add users step by step, until `PATIENCE` steps in a row have raised the throughput by less than `GROWTH`.

    `users` may be called at any time; the steps have a fixed length. The ramp also ends at `most` users.
    """

    FIRST = 5
    FACTOR = 1.5
    STEP_SECONDS = 5.0
    SETTLE_SECONDS = 1.0  # at the beginning of each step, which is not counted: users are still being started
    GROWTH = 0.05
    PATIENCE = 2

    def __init__(self, most: int) -> None:
        self._most = most
        self._now = min(self.FIRST, most)
        self._began = 0.0
        self._counted: tuple[float, int] | None = None  # time and requests at the step's start
        self._poor = 0
        self.best = (0, 0.0)  # users, requests per second

    def users(self, at: float, requests: int) -> int | None:
        """Return the number of users at the time `at` (seconds), after a number of `requests`; None ends the run."""
        if self._counted is None and at >= self._began + self.SETTLE_SECONDS:
            self._counted = (at, requests)
        if self._counted is None or at < self._began + self.STEP_SECONDS:
            return self._now
        since, before = self._counted
        rate = (requests - before) / max(at - since, 0.001)
        self._poor = 0 if rate > self.best[1] * (1 + self.GROWTH) else self._poor + 1
        if rate > self.best[1]:
            self.best = (self._now, rate)
        if self._poor >= self.PATIENCE or self._now >= self._most:
            return None
        self._now = min(self._most, max(self._now + 1, int(self._now * self.FACTOR)))
        self._began, self._counted = at, None
        return self._now
