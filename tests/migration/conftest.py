"""Two services: data comes from the other one, or goes to it."""

from collections.abc import Iterator

import pytest

from tests.running import Running


@pytest.fixture(scope="session")
def other() -> Iterator[Running]:
    with Running() as running:
        yield running.wait_ready()
