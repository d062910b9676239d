"""Tests the operations port of a running service: health, readiness, metrics, administration."""

import asyncio
import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from service.metrics import METRICS
from service.operations.port import LARGEST_ACCESS_BYTES, RedisHealth
from tests.running import Running, paused, polystow, soon

JSON = "application/json"


async def status(http: ClientSession, url: str) -> tuple[int, Any]:
    async with http.get(url) as answer:
        assert answer.content_type == JSON
        return answer.status, await answer.json()


async def until(http: ClientSession, url: str, wanted: int) -> Any:
    """Repeat a request until the answer has the wanted status; return its body."""

    async def check() -> Any:
        given, body = await status(http, url)
        return body if given == wanted else None

    return await soon(check)


async def test_a_running_service_is_healthy_and_ready(service: Running, http: ClientSession) -> None:
    assert await status(http, service.ops_url + "/healthz") == (200, {"status": "ok"})
    assert await status(http, service.ops_url + "/readyz") == (200, {"status": "ok"})


async def test_while_redis_is_paused_the_service_is_healthy_but_not_ready(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    running = serve()
    with paused(running.redis_pid()):
        body = await until(http, running.ops_url + "/readyz", 503)
        assert body == {"status": "unavailable", "reasons": ["redis does not answer"]}
        assert await status(http, running.ops_url + "/healthz") == (200, {"status": "ok"})
    assert await until(http, running.ops_url + "/readyz", 200) == {"status": "ok"}


async def test_a_killed_redis_comes_back_with_its_data_and_the_service_is_ready_again(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    running = serve()
    with running.redis as client:
        client.set("kept", "1")
    await asyncio.to_thread(running.kill_redis)
    await until(http, running.ops_url + "/readyz", 200)
    assert await status(http, running.ops_url + "/healthz") == (200, {"status": "ok"})
    with running.redis as client:
        assert client.get("kept") == b"1"


async def test_metrics_show_every_metric_of_the_table(service: Running, http: ClientSession) -> None:
    async with http.get(service.ops_url + "/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families = list(text_string_to_metric_families(await answer.text()))
    shown = {family.name for family in families}
    assert {metric.name.removesuffix("_total") for metric in METRICS} <= shown
    assert {"process_resident_memory_bytes", "python_info"} <= shown


async def test_unknown_paths_and_methods_are_refused_as_json(service: Running, http: ClientSession) -> None:
    assert (await status(http, service.ops_url + "/nowhere"))[0] == 404
    async with http.post(service.ops_url + "/healthz") as answer:
        assert (answer.status, answer.content_type) == (405, JSON)
        assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD"}


ACCESS = "ainoflow: {keys: [{key: ak-applied, id: applied, project: acme}]}"


def admin(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


async def put_access(
    http: ClientSession, running: Running, token: str | None, document: str | bytes | BytesIO
) -> tuple[int, Any]:
    async with http.put(running.ops_url + "/admin/access", data=document, headers=admin(token)) as answer:
        assert answer.content_type == JSON
        return answer.status, await answer.json()


async def test_access_is_applied_as_yaml_and_as_json(service: Running, http: ClientSession) -> None:
    as_json = json.dumps({"ainoflow": {"keys": [{"key": "ak-applied", "id": "applied", "project": "acme"}]}})
    for document in (ACCESS, as_json):
        assert await put_access(http, service, service.admin_token, document) == (200, {"tokens": []})


async def test_a_generated_token_is_in_the_answer(service: Running, http: ClientSession) -> None:
    document = "ainoflow: {keys: [{id: generated-by-admin, project: acme}]}"
    code, body = await put_access(http, service, service.admin_token, document)
    assert code == 200
    (issued,) = body["tokens"]
    assert issued["id"] == "generated-by-admin"
    assert len(issued["token"]) >= 32


@pytest.mark.parametrize("token", [None, "wrong", "", "test-admin-token2", "té"])
async def test_a_wrong_admin_token_is_refused(service: Running, http: ClientSession, token: str | None) -> None:
    code, body = await put_access(http, service, token, ACCESS)
    assert code == 401
    assert set(body) == {"error"}


async def test_an_admin_token_of_any_bytes_is_refused_and_logs_nothing(serve: Callable[..., Running]) -> None:
    running = serve()
    host, port = running.ops_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"PUT /admin/access HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\r\nContent-Length: 0\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 401")
    writer.close()
    assert running.stop() == 0
    assert "Traceback" not in running.log


@pytest.mark.parametrize("document", ["", "[", "nonsense: {}", "ainoflow: {keyz: []}", b"\xff\xfe\xff", "[" * 5000])
async def test_a_malformed_document_is_refused_with_a_message(
    service: Running, http: ClientSession, document: str | bytes
) -> None:
    code, body = await put_access(http, service, service.admin_token, document)
    assert code == 422
    assert body["error"]["message"]


async def test_a_document_over_the_limit_is_refused(service: Running, http: ClientSession) -> None:
    document = BytesIO(b"#" * (LARGEST_ACCESS_BYTES + 1))
    assert (await put_access(http, service, service.admin_token, document))[0] == 413


async def test_applying_access_without_redis_gets_503_with_a_message(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    running = serve()
    with paused(running.redis_pid()):
        code, body = await put_access(http, running, running.admin_token, ACCESS)
    assert code == 503
    assert body["error"]["message"].startswith("redis: ")


async def test_without_an_admin_token_the_admin_api_is_404(serve: Callable[..., Running], http: ClientSession) -> None:
    running = serve(admin_token="")
    for token in (None, "", "test-admin-token"):
        assert (await put_access(http, running, token, ACCESS))[0] == 404


async def test_access_apply_reaches_the_redis_of_a_running_service(service: Running, http: ClientSession) -> None:
    document = b"ainoflow: {keys: [{id: generated-by-command, project: acme}]}"
    done = await asyncio.to_thread(
        lambda: polystow("access", "apply", "-", "--data-dir", str(service.data_dir), stdin=document)
    )
    assert done.returncode == 0, done.stderr
    token = json.loads(done.stdout)["token"]
    async with http.get(service.url + "/api/v1/whoami", headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.status == 200


async def test_many_probes_cost_redis_two_pings_a_second() -> None:
    asked = 0

    async def ping() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)

    health = RedisHealth(ping)
    assert all(await asyncio.gather(*(health.answers() for _ in range(100))))
    assert asked == 1


async def test_a_failing_ping_does_not_count_as_alive() -> None:
    async def ping() -> None:
        raise OSError("gone")

    assert not await RedisHealth(ping).answers()
