"""Services with the fast path and without it, and single connections without a socket."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from service.http.app import App
from tests.fast_path.cached_reads import started
from tests.fast_path.rig import Rig
from tests.raw_http import DOCUMENTS, request
from tests.running import Running
from tests.servers import RedisProcess, binaries


@pytest.fixture(scope="session")
def ordinary() -> Iterator[Running]:
    """A shared service without the fast path."""
    with Running(fast_path="false") as running:
        yield running.wait_ready()


@pytest.fixture(params=["fast", "ordinary"])
def serve_either(request: pytest.FixtureRequest, serve: Callable[..., Running]) -> Callable[..., Running]:
    """A function that starts a service. The test runs once with the fast path and once without it."""
    fast = request.param == "fast"
    return lambda **settings: serve(fast_path=fast, **settings)


@pytest.fixture(scope="module", params=["fast", "ordinary"])
def either(request: pytest.FixtureRequest) -> Iterator[Running]:
    """A service with the fast path, then one without it. A test may disturb it, but must let it recover."""
    with Running(fast_path=request.param == "fast") as running:
        yield running.wait_ready()


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisProcess]:
    with RedisProcess(binaries()[0][1]) as process:
        yield process


@pytest.fixture
async def app(redis: RedisProcess) -> AsyncIterator[App]:
    redis.command("FLUSHALL")
    app = await started(redis.url)
    yield app
    await app.close()


def known(app: App) -> set[str]:
    """Return the projects that the directory has cached, if any."""
    directory = app.state.service.directory
    return (
        {id for dialect, kind, id in directory._entries if kind == "project"}
        if directory.generation is not None
        else set()
    )


@pytest.fixture
async def rig(app: App) -> Rig:
    """A connection that has answered some requests, so that everything is cached."""
    rig, rounds = Rig(app), 0
    while "p" not in known(app):
        rig.receive(request("PUT", DOCUMENTS + "/c/k", b'{"a":1}'))
        while rig.held:
            await rig.reply()
        rounds += 1
        await rig.answered(rounds)
        await rig.rest()
    rig.transport.written.clear()
    rig.ordinary = 0
    return rig
