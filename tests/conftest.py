"""Fixtures for all tests: a shared service, a factory for more services, and an HTTP client.

`--cluster` runs the dialects' tests that use only the shared service, on a Redis Cluster.
`--long` runs randomised tests and trials in their long forms (tests/lengths.py).
`--server` runs all tests on one Redis or Valkey instead of on each one of this machine, for example `--server valkey`.
"""

import gc
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests import lengths
from tests.redis_cluster import RedisCluster
from tests.running import Running
from tests.servers import binaries, choose
from tests.starting_processes import starts_processes


def pytest_configure(config: pytest.Config) -> None:
    """Choose the length of tests and the servers before tests are collected: many tests are made for each server."""
    gc.disable()
    _hear_ignored_signals()
    lengths.choose(long=config.getoption("--long"))
    if name := config.getoption("--server"):
        directory = tempfile.TemporaryDirectory(prefix="server-")
        config.add_cleanup(directory.cleanup)
        try:
            choose(name, Path(directory.name))
        except ValueError as error:
            raise pytest.UsageError(f"--server: {error}") from None


def _hear_ignored_signals() -> None:
    """Handle SIGHUP, SIGINT and SIGQUIT without an effect if they are ignored, as in a run in a shell's background.

    Programs inherit ignored signals, but not handlers. So services stop at these signals, as tests expect.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat each test that has the argument `binary` (the path of a server program) for all servers."""
    if "binary" in metafunc.fixturenames:
        servers = dict(binaries())
        metafunc.parametrize("binary", servers.values(), ids=servers, scope="session")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark tests that start processes, if `-m` selects by this marker, and give long tests a longer timeout."""
    if "processes" in item.config.option.markexpr and isinstance(item, pytest.Function) and starts_processes(item):
        item.add_marker("processes")
    if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
        item.add_marker(pytest.mark.timeout(lengths.SECONDS))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --cluster, leave out tests that use another Redis: the cluster makes no difference to them."""
    if not config.getoption("--cluster"):
        return
    dialects = Path(__file__).parent / "dialects"
    chosen: dict[bool, list[pytest.Item]] = {True: [], False: []}
    for item in items:
        used = {"service", "serve"} & set(getattr(item, "fixturenames", ()))
        chosen[item.path.is_relative_to(dialects) and used == {"service"}].append(item)
    config.hook.pytest_deselected(items=chosen[False])
    items[:] = chosen[True]


def pytest_collection_finish() -> None:
    """Look for garbage from now on, but not in what was imported and collected, which stays."""
    gc.freeze()
    gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cluster", action="store_true", help="run the dialects' tests on a Redis Cluster, and no other")
    parser.addoption("--server", help="run on the first server whose name begins so: redis-7, valkey")
    parser.addoption("--long", action="store_true", help="run the long forms of the tests that have one: -m long")
    parser.addoption("--examples", type=int, help="requests that schemathesis makes up for each route")
    parser.addoption("--seed", type=int, default=1, help="what schemathesis makes them up from")


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The URL of the shared service's Redis; None if it starts an embedded one."""
    if not request.config.getoption("--cluster"):
        yield None
        return
    with RedisCluster(binaries()[0][1]) as cluster:
        yield cluster.url


@pytest.fixture(scope="session")
def service(redis_url: str | None) -> Iterator[Running]:
    """The service that tests share. They may add data to it, and must change nothing else."""
    running = Running(redis_url=redis_url) if redis_url else Running()
    try:
        yield running.wait_ready()
    finally:
        running.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Running]]:
    """A function that starts another service for one test, with settings by name: `serve(workers=2)`."""
    started: list[Running] = []

    def start(**settings: object) -> Running:
        started.append(Running(**settings))  # type: ignore[arg-type]
        return started[-1].wait_ready()

    yield start
    for running in started:
        running.close()


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    """An HTTP client that keeps its connections open."""
    async with ClientSession() as session:
        yield session
