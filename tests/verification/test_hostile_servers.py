"""Tests that a verification of a hostile server ends with a message."""

import pytest
from aiohttp import ClientSession, web

from service.remote.client import Remote, Reply
from service.verification import leftovers
from service.verification.comparison import compare
from tests.remote.proxy import Forward, proxied

KNOWN = {"key": "k"}


@pytest.mark.parametrize("depth", [100, 300, 450, 600, 900, 5000])
def test_a_deeply_nested_body_is_reported_as_a_difference(depth: int) -> None:
    assert compare('{"a": 1}', '{"a":' * depth + "1" + "}" * depth, {})
    assert compare('{"a": 1}', '{"b":' * depth + "1" + "}" * depth, {})


@pytest.mark.parametrize("items", [b'[{"key": "a"}]', b'[{"name": "a"}]', b"[1]", b"[" * 100_000], ids=range(4))
async def test_a_server_that_removes_nothing_or_lists_nonsense_is_unusable(items: bytes) -> None:
    async def behaviour(request: web.Request, forward: Forward) -> Reply:
        return Reply(200, {}, b'[{"category": "c"}]' if request.path == leftovers.DOCUMENTS else items)

    async with proxied("http://unused", behaviour) as url, ClientSession() as http:
        with pytest.raises(leftovers.Unusable):
            await leftovers.remove("ainoflow", Remote(http, url), KNOWN)
