"""The Ainoflow project of a test."""

import pytest
from aiohttp import ClientSession

from tests.dialects.ainoflow.client import Client, open_with
from tests.running import Running


@pytest.fixture
async def project(request: pytest.FixtureRequest, service: Running, http: ClientSession) -> Client:
    """A project for one test only. It keeps a journal if the test has the marker `journal`."""
    limits: dict[str, dict[str, object]] = {"journal": {}} if request.node.get_closest_marker("journal") else {}
    return await open_with(service, http, **limits)
