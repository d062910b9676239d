"""An agent for each test, so that no test lists the variables of another one."""

import pytest
from aiohttp import ClientSession

from tests.dialects.avaamo.client import Client, open_agent
from tests.running import Running


@pytest.fixture
async def agent(service: Running, http: ClientSession) -> Client:
    return await open_agent(service, http)
