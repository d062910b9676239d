"""A world of its own for each test, so that what one declares no other sees."""

import pytest
from aiohttp import ClientSession

from tests.dialects.auravant.client import World
from tests.running import Running


@pytest.fixture
def world(service: Running, http: ClientSession) -> World:
    return World(service, http)
