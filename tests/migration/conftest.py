"""Two services, between which data is migrated."""

from collections.abc import Iterator
from random import randrange

import pytest

from tests.running import Running


@pytest.fixture(scope="session")
def other() -> Iterator[Running]:
    with Running() as running:
        yield running.wait_ready()


@pytest.fixture
def agent() -> int:
    """The number of an agent that no other test has."""
    return randrange(10**12, 10**15)
