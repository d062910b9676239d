"""A client of the Genesys dialect."""

import pytest
from aiohttp import ClientSession

from tests.dialects.genesys.client import Client
from tests.running import Running


@pytest.fixture
def gms(service: Running, http: ClientSession) -> Client:
    return Client(http, service)
