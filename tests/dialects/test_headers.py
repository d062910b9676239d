"""Tests the headers that every answer of a dialect has, also refusals, on the fast path and on aiohttp's."""

from collections.abc import Iterator

import pytest

from service.dialects import discover
from tests.raw_http import DOCUMENTS, Response, connected, request
from tests.running import Running

K = f"{DOCUMENTS}/headers/k"
STORAGE = "/api/mktplace/storage"
BOUNDARY = "multipart/form-data; boundary=b"
FORM = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n'
DIALECTS = {dialect.name: dialect for dialect in discover()}
CACHED = dict.fromkeys(DIALECTS, "private, no-cache") | {"genesys": "no-cache, no-store"}
VARIES = dict.fromkeys(DIALECTS, "Authorization") | {
    "avaamo": "Access-Token",
    "genesys": "Authorization, gms_user",
}


@pytest.fixture(scope="module", params=["true", "false"], ids=["fast", "ordinary"])
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    with Running(fast_path=request.param) as running:
        yield running.wait_ready()


def told(name: str, response: Response) -> None:
    assert response.headers["Cache-Control"] == CACHED[name]
    assert response.headers["Vary"] == VARIES[name]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers.get("Pragma") == ("no-cache" if name == "genesys" else None)


AT = "Authorization: Bearer at-owner"
# By dialect: the request, the header with the credential, and the status. (Auravant also refuses with 200.)
ASKED: dict[str, list[tuple[str, str, bytes | None, str, int]]] = {
    "ainoflow": [
        ("PUT", K, b"{}", "Authorization: Bearer ak-1", 200),
        ("GET", K, None, "Authorization: Bearer ak-1", 200),
        ("GET", K, None, "Authorization: Bearer ak-1\r\nIf-None-Match: *", 304),
        ("GET", K, None, "Authorization: Bearer none", 401),
        ("GET", K, None, "X: y", 401),
        ("GET", K + "none", None, "Authorization: Bearer ak-1", 404),
        ("GET", "/api/v1/none", None, "Authorization: Bearer ak-1", 404),
    ],
    "auravant": [
        ("POST", f"{STORAGE}/users?operation=GET", b'{"ids":["UID-owner"],"keys":["k"]}', AT, 200),
        ("POST", f"{STORAGE}/users?operation=GET", b"{}", "X: y", 401),
        ("POST", f"{STORAGE}/users?operation=GET", b'{"ids":["none"],"keys":["k"]}', AT, 200),
        ("GET", f"{STORAGE}/none", None, AT, 404),
    ],
    "avaamo": [
        ("GET", "/dashboard/bots/8017/storages.json", None, "Access-Token: av-edit", 200),
        ("GET", "/dashboard/bots/8017/storages.json", None, "Access-Token: none", 401),
        ("GET", "/bots_api/v1/none", None, "Access-Token: av-edit", 404),
    ],
    "genesys": [
        ("POST", "/genesys/1/storage/600", FORM, f"Content-Type: {BOUNDARY}", 200),
        ("GET", "/genesys/1/storage/none", None, "X: y", 404),
    ],
}


def test_each_dialect_has_requests_here() -> None:
    assert ASKED.keys() == DIALECTS.keys()


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("name", ASKED)
async def test_each_answer_has_its_cache_headers(running: Running, name: str, version: str) -> None:
    """Requests with HTTP/1.0 are always answered by aiohttp."""
    async with connected(running) as wire:
        for method, target, body, credential, status in ASKED[name]:
            more = ("Connection: keep-alive",) if version == "1.0" else ()
            for _ in range(3):  # the head is new at first, and then known
                await wire.send(request(method, target, body, *more, version=version, credential=credential))
                response = await wire.response(method)
                assert response.status == status, response.body
                told(name, response)
