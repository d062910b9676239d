"""One redis-server of each binary for all tests here, and the splices under test by name."""

from collections.abc import Callable, Iterator

import pytest

from service.storage.records.splice import splice
from tests.servers import RedisProcess, binaries
from tests.storage.splice.script import Script

Splice = Callable[[str, str], str]


def in_python(target: str, patch: str) -> str:
    return splice(target.encode(), patch.encode()).decode()


@pytest.fixture(scope="session")
def splicers() -> Iterator[dict[str, Script]]:
    """The Lua splice on each redis-server."""
    servers = {name: RedisProcess(path) for name, path in binaries()}
    for server in servers.values():
        server.start()
    found = {name: Script(server.socket) for name, server in servers.items()}
    yield found
    for name, server in servers.items():
        found[name].client.close()
        server.__exit__(None, None, None)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "apply" in metafunc.fixturenames:
        metafunc.parametrize("apply", ["python", *dict(binaries())], indirect=True)


@pytest.fixture
def apply(request: pytest.FixtureRequest, splicers: dict[str, Script]) -> Splice:
    """Each implementation, as a function of target and patch."""
    if request.param == "python":
        return in_python
    script = splicers[request.param]

    def in_redis(target: str, patch: str) -> str:
        (result,) = script.splice([(target, patch)])
        assert result is not None
        return result

    return in_redis
