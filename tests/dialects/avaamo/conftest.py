"""An agent of its own for each test, so that what one stores another never lists."""

import pytest
from aiohttp import ClientSession

from tests.dialects.avaamo.client import Client, open_agent
from tests.running import Running


@pytest.fixture
async def agent(service: Running, http: ClientSession) -> Client:
    return await open_agent(service, http)
