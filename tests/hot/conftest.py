"""Services with the fast path and without it."""

from collections.abc import Callable, Iterator

import pytest

from tests.running import Running


@pytest.fixture(scope="session")
def ordinary() -> Iterator[Running]:
    """As `service`, without the fast path."""
    with Running(fast_path="false") as running:
        yield running.wait_ready()


@pytest.fixture(params=["fast", "ordinary"])
def serve_either(request: pytest.FixtureRequest, serve: Callable[..., Running]) -> Callable[..., Running]:
    """`serve`, once with the fast path and once without."""
    fast = request.param == "fast"
    return lambda **settings: serve(fast_path=fast, **settings)
