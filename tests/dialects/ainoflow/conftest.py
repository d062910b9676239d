"""Closes the streams of feeds that a test has opened."""

from collections.abc import AsyncIterator

import pytest

from tests.dialects.ainoflow.events import close_all


@pytest.fixture(autouse=True)
async def _streams_closed() -> AsyncIterator[None]:
    yield
    close_all()
