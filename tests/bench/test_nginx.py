"""Tests nginx + Lua as a system under test: its configuration, and the message if it is not installed."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest
from aiohttp import ClientSession

from bench.compare.systems import nginx
from bench.compare.systems.nginx import LIFETIME, PACKAGES, Nginx
from bench.documents import document
from bench.placement import placement
from bench.processes import Unusable


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Nginx]:
    system = Nginx(placement(), tmp_path)
    with ExitStack() as stack:
        system.start(stack)
        yield system


async def test_a_key_is_404_before_it_is_written_and_read_back_unchanged(peer: Nginx, http: ClientSession) -> None:
    for body in (b"{}", bytes(range(256)), document(10 * 1024), document(100 * 1024)):
        url = f"{peer.url}/key-{len(body)}"
        async with http.get(url) as answer:
            assert answer.status == 404
        async with http.put(url, data=body) as answer:
            assert (answer.status, await answer.read()) == (200, b"")
        async with http.get(url) as answer:
            assert (answer.status, await answer.read()) == (200, body)


async def test_only_a_write_with_an_expiry_sets_one(peer: Nginx, http: ClientSession) -> None:
    with peer.redis.client() as redis:
        for query, least, most in ((f"?expires={LIFETIME}", 1, LIFETIME), ("", -1, -1)):
            async with http.put(f"{peer.url}/key{query}", data=b"value") as answer:
                assert answer.status == 200
            assert least <= cast(int, redis.ttl("key")) <= most


async def test_connections_to_redis_are_kept(peer: Nginx, http: ClientSession) -> None:
    before = peer.redis.info("stats")["total_connections_received"]
    for number in range(100):
        async with http.put(f"{peer.url}/key-{number}", data=b"value") as answer:
            assert answer.status == 200
    # One is for these two questions; nginx needs another for requests that come one after the other.
    assert peer.redis.info("stats")["total_connections_received"] <= before + 2


async def test_an_unreachable_redis_is_an_error_and_not_an_answer(peer: Nginx, http: ClientSession) -> None:
    peer.redis.stop()
    for request in (http.get(f"{peer.url}/key"), http.put(f"{peer.url}/key", data=b"value")):
        async with request as answer:
            assert answer.status == 500


def test_nginx_has_one_worker_whose_cpu_time_is_counted(peer: Nginx) -> None:
    master, worker = peer.processes["server"]
    assert Path(f"/proc/{worker}/status").read_text().count(f"PPid:\t{master}\n") == 1
    assert peer.version().startswith("1.")


def test_a_missing_program_is_named_with_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nginx, "NEEDED", (tmp_path / "ngx_http_lua_module.so",))
    with pytest.raises(Unusable, match="apt-get install " + PACKAGES) as raised:
        nginx.installed()
    assert "ngx_http_lua_module.so is not here" in str(raised.value)
