"""Services as users start them: these tests are about processes, so none of theirs is forked."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.running import Running


@pytest.fixture
def serve() -> Iterator[Callable[..., Running]]:
    """As everywhere, but by the command."""
    with ExitStack() as started:
        yield lambda **settings: started.enter_context(Running(forked=False, **settings)).wait_ready()
