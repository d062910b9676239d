"""The exit status of a load test: 0 if it stayed within its bounds, else 1, with the reasons in the log.

It is determined by the process that sees all requests: the only one, or the master.
"""

import logging

from locust import events
from locust.env import Environment
from locust.runners import WorkerRunner

log = logging.getLogger(__name__)


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def judge(environment: Environment, **_: object) -> None:
    if environment.runner is None or isinstance(environment.runner, WorkerRunner):
        return
    reasons = broken(environment)
    for reason in reasons:
        log.error("failed: %s", reason)
    environment.process_exit_code = 1 if reasons else 0


def broken(environment: Environment) -> list[str]:
    """Return the bounds that the run has exceeded."""
    options, total = environment.parsed_options, environment.stats.total
    assert options is not None
    assert environment.runner is not None
    if not total.num_requests:
        return ["no request was made"]
    reasons = [f"a task raised: {each['msg']}" for each in environment.runner.exceptions.values()]
    share = total.num_failures / total.num_requests
    if share > options.max_failures:
        reasons.append(f"{total.num_failures} of {total.num_requests} requests failed")
    p99 = total.get_response_time_percentile(0.99)
    if p99 > options.max_p99:
        reasons.append(f"the 99th percentile is {p99:g} ms, over {options.max_p99:g}")
    return reasons
