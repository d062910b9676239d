"""A project of its own for each test, so that what one stores another never lists."""

import pytest
from aiohttp import ClientSession

from tests.dialects.ainoflow.client import Client, open_project
from tests.running import Running


@pytest.fixture
async def project(service: Running, http: ClientSession) -> Client:
    return await open_project(service, http)
