"""Fixtures for all tests: a running service, a factory for more of them, and an HTTP client.

`--cluster` runs the dialects' tests on a Redis Cluster: all those that the shared service is enough for.
`--long` runs randomised tests and trials in their long forms (tests/effort.py).
`--server` runs all tests on one server instead of each one here: `--server valkey`.
"""

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests import effort
from tests.needs import starts_processes
from tests.redis_cluster import RedisCluster
from tests.running import Running
from tests.servers import binaries, choose


def pytest_configure(config: pytest.Config) -> None:
    """Choose forms and server before any test is collected: many are made for each server."""
    effort.choose(long=config.getoption("--long"))
    if name := config.getoption("--server"):
        directory = tempfile.TemporaryDirectory(prefix="server-")
        config.add_cleanup(directory.cleanup)
        try:
            choose(name, Path(directory.name))
        except ValueError as error:
            raise pytest.UsageError(f"--server: {error}") from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that asks for a `binary`, of a server, on all servers."""
    if "binary" in metafunc.fixturenames:
        servers = dict(binaries())
        metafunc.parametrize("binary", servers.values(), ids=servers, scope="session")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what starts processes, before `-m` chooses, and give what is long the time that it may take."""
    if isinstance(item, pytest.Function) and starts_processes(item):
        item.add_marker("processes")
    if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
        item.add_marker(pytest.mark.timeout(effort.SECONDS))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a cluster, leave out what has another Redis: it would say the same again."""
    if not config.getoption("--cluster"):
        return
    dialects = Path(__file__).parent / "dialects"
    chosen: dict[bool, list[pytest.Item]] = {True: [], False: []}
    for item in items:
        used = {"service", "serve"} & set(getattr(item, "fixturenames", ()))
        chosen[item.path.is_relative_to(dialects) and used == {"service"}].append(item)
    config.hook.pytest_deselected(items=chosen[False])
    items[:] = chosen[True]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cluster", action="store_true", help="run the dialects' tests on a Redis Cluster, and no other")
    parser.addoption("--server", help="run on the first server whose name begins so: redis-7, valkey")
    parser.addoption("--long", action="store_true", help="run the long forms of the tests that have one: -m long")
    parser.addoption("--examples", type=int, help="requests that schemathesis makes up for each route")
    parser.addoption("--seed", type=int, default=1, help="what schemathesis makes them up from")


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The Redis of the shared service; None: one of its own."""
    if not request.config.getoption("--cluster"):
        yield None
        return
    with RedisCluster(binaries()[0][1]) as cluster:
        yield cluster.url


@pytest.fixture(scope="session")
def service(redis_url: str | None) -> Iterator[Running]:
    """One service for all tests that leave it as they found it: data may be added, nothing else changed."""
    running = Running(redis_url=redis_url) if redis_url else Running()
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
