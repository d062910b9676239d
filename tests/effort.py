"""The effort of randomised tests and trials of faults: little in `make test`, all in `make test-long` (`--long`).

Such a test has the marker `long`, by which `make test-long` finds it. Hypothesis may look for the smallest failing
example for five minutes, so these tests get more time than that: what failed is always printed.

Short forms try the same examples in each run, so that a change is judged by what it changes; long forms look for new
ones. No form has a deadline for one example: it would measure the machine.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

SHRINKING_SECONDS = 300  # after which Hypothesis prints the smallest example so far
SECONDS = SHRINKING_SECONDS + 180

T = TypeVar("T")
_long = False


def choose(*, long: bool) -> None:
    """Use the long or the short forms, in all modules that are imported from now on."""
    global _long
    _long = long
    settings.register_profile(
        "tests", deadline=None, derandomize=not long, suppress_health_check=list(HealthCheck), database=None
    )
    settings.load_profile("tests")


def either(short: T, long: T) -> T:
    """The measure of this run."""
    return long if _long else short


def some(short: int, long: int, **more: Any) -> settings:
    """Hypothesis's settings for a test with so many examples."""
    return settings(max_examples=either(short, long), **more)


def examples(short: int, long: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a test of Hypothesis: so many examples, and the marker."""
    return lambda test: pytest.mark.long(some(short, long)(test))
