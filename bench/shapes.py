"""The load shape of a run, chosen by name with `--shape`. It connects Locust with `bench.profiles`.

There is one class for all shapes, because Locust chooses the class before it reads the command line. Locust's own
`--users`, `--spawn-rate` and `--run-time` keep their meaning: the largest number of users, how fast they start, the
duration.
"""

import logging
from argparse import Namespace

from locust import LoadTestShape

from bench.profiles import PROFILES, RAMP, Ramp

SECONDS = 30.0
SOAK_SECONDS = 3600.0

log = logging.getLogger(__name__)


class Shape(LoadTestShape):
    use_common_options = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ramp: Ramp | None = None

    def tick(self) -> tuple[int, float] | None:
        assert self.runner is not None
        options = self.runner.environment.parsed_options
        assert options is not None
        at: float = self.get_run_time()  # type: ignore[no-untyped-call]
        users = self._climb(at, options.num_users) if options.shape == RAMP else self._follow(at, options)
        return None if users is None else (users, options.spawn_rate)

    def _follow(self, at: float, options: Namespace) -> int | None:
        seconds = options.run_time or (SOAK_SECONDS if options.shape == "soak" else SECONDS)
        return PROFILES[options.shape](at, seconds, options.num_users)

    def _climb(self, at: float, most: int) -> int | None:
        assert self.runner is not None
        self._ramp = self._ramp or Ramp(most)
        users = self._ramp.users(at, self.runner.stats.total.num_requests)
        if users is None:
            reached, rate = self._ramp.best
            why = "all that --users allows" if reached == most else "more users brought no more"
            log.warning("saturated at %d users, %.0f requests per second: %s", reached, rate, why)
            self._ramp = None
        return users
