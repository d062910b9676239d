"""The length of randomised tests and of trials with faults: short in `make test`, long in `make test-long` (`--long`).

These tests have the marker `long`, which `make test-long` selects. After a failure, Hypothesis searches for the
smallest failing example for up to five minutes. The timeout of these tests is longer, so the example is printed.

The short form tries the same examples in each run, so that a new failure is due to a change of the code. The long form
tries new examples. No form has a deadline for a single example, because that would measure the machine.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

SHRINKING_SECONDS = 300  # after these, Hypothesis prints the smallest example found so far
SECONDS = SHRINKING_SECONDS + 180

T = TypeVar("T")
_long = False


def choose(*, long: bool) -> None:
    """Choose the long or the short form of all tests in modules that are imported after this call."""
    global _long
    _long = long
    settings.register_profile(
        "tests", deadline=None, derandomize=not long, suppress_health_check=list(HealthCheck), database=None
    )
    settings.load_profile("tests")


def either(short: T, long: T) -> T:
    """Return `short` in a run with short forms, and `long` in a run with long forms."""
    return long if _long else short


def some(short: int, long: int, **more: Any) -> settings:
    """Return Hypothesis's settings for this number of examples."""
    return settings(max_examples=either(short, long), **more)


def examples(short: int, long: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator for a test of Hypothesis, which sets the number of examples and the marker `long`."""
    return lambda test: pytest.mark.long(some(short, long)(test))
