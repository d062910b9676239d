"""Fixtures for all tests: a running service, a factory for more of them, and an HTTP client."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from aiohttp import ClientSession

from tests.running import Running


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--examples", type=int, default=20, help="requests that schemathesis makes up for each route")
    parser.addoption("--seed", type=int, default=1, help="what schemathesis makes them up from")


@pytest.fixture(scope="session")
def service() -> Iterator[Running]:
    """One service for all tests that leave it as they found it: data may be added, nothing else changed."""
    running = Running()
    try:
        yield running.wait_ready()
    finally:
        running.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Running]]:
    """Starts services of a test's own, with settings by name: `serve(workers=2)`."""
    started: list[Running] = []

    def start(**settings: object) -> Running:
        started.append(Running(**settings))  # type: ignore[arg-type]
        return started[-1].wait_ready()

    yield start
    for running in started:
        running.close()


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    """A client that keeps connections open, as clients do."""
    async with ClientSession() as session:
        yield session
