"""Tests batches: several writes to one category in one request."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest

from service.storage.records.record import etag
from tests.dialects.ainoflow.client import Client, Reply, at

BATCH = "/api/v1/storage/batch/"


async def batch(project: Client, *operations: dict[str, Any], category: str = "d", **headers: str) -> Reply:
    body = json.dumps({"operations": operations}).encode()
    return await project.ask("POST", BATCH + quote(category, safe=""), body, **headers)


def refused(reply: Reply, status: int, operation: int) -> str:
    """Check that a refusal names an operation of the batch; return the rest of its message."""
    assert reply.status == status, reply.body
    assert list(reply.json) == ["error"]
    assert list(reply.json["error"]) == ["message", "operation"]
    assert reply.json["error"]["operation"] == operation
    beginning = f"operations[{operation}]: "
    assert reply.json["error"]["message"].startswith(beginning)
    return str(reply.json["error"]["message"]).removeprefix(beginning)


async def test_a_batch_returns_receipts_in_order(project: Client) -> None:
    old = (await project.put("d", "b", b"{}")).json["etag"]
    await project.put("d", "c", b'{"x":1,"y":2}', expiresMs=60_000)
    expires = (await project.get("d", "c", "meta")).json["expiresAt"]
    raw = (
        b'{ "operations" : [{"op":"create","key":"a","value": { "n" : 1.50, "n":2 } },'
        b'{"op":"put","key":"b","value":[1, 2],"ifMatch":"%b","expiresAt":"2099-01-15T10:30:00Z"},'
        b'{"op":"patch","key":"c","value":{"x":null}},{"op":"delete","key":"a","ifMatch":"*"},'
        b'{"op":"create","key":"\xc3\xa9/","value":{"\\u00e9":"\xc3\xa9"}}] }' % old.encode()
    )
    reply = await project.ask("POST", BATCH + "d", raw)
    assert reply.status == 200, reply.body
    assert list(reply.json) == ["category", "results"]
    tags = [etag(b'{ "n" : 1.50, "n":2 }'), etag(b"[1, 2]"), etag(b'{"y":2}'), "", etag(b'{"\\u00e9":"\xc3\xa9"}')]
    common = [
        {"op": op, "category": "d", "key": key}
        for op, key in (("create", "a"), ("put", "b"), ("patch", "c"), ("delete", "a"), ("create", "é/"))
    ]
    assert reply.json["results"] == [
        {**common[0], "version": 1, "etag": tags[0], "expiresAt": None},
        {**common[1], "version": 2, "etag": tags[1], "expiresAt": "2099-01-15T10:30:00Z"},
        {**common[2], "version": 2, "etag": tags[2], "expiresAt": expires},
        common[3],
        {**common[4], "version": 1, "etag": tags[4], "expiresAt": None},
    ]
    assert (await project.get("d", "a")).status == 404
    assert (await project.get("d", "b")).body == b"[1, 2]"
    assert (await project.get("d", "c")).body == b'{"y":2}'
    assert (await project.get("d", "é/")).body == b'{"\\u00e9":"\xc3\xa9"}'
    assert (await project.get("d", "é/", "meta")).json["createdBy"] == project.project


OK: dict[str, Any] = {"op": "put", "key": "k", "value": {}}


@pytest.mark.parametrize(
    ("operation", "status", "message"),
    [
        ({"op": "create", "key": "there", "value": {}}, 409, "the key is there already"),
        ({"op": "put", "key": "k", "value": {}, "ifNoneMatch": "*"}, 412, "the key is there already"),
        ({"op": "put", "key": "there", "value": {}, "ifMatch": "0"}, 412, "the record has another etag"),
        ({"op": "put", "key": "there", "value": {}, "ifMatch": '"*"'}, 412, "the record has another etag"),
        ({"op": "delete", "key": "none", "ifMatch": "*"}, 412, "no such key"),
        ({"op": "delete", "key": "none"}, 404, "no such key"),
        ({"op": "patch", "key": "none", "value": {}}, 404, "no such key"),
        ({"op": "put", "key": "k", "value": {}, "expiresAt": "2001-01-01"}, 400, "the expiry is not in the future"),
        ({"op": "put", "key": "k", "value": 1}, 400, "`value` must be a JSON object or array"),
        ({"op": "put", "key": "k", "value": {}, "expiresAt": "2001"}, 400, "`expiresAt` must be an ISO 8601"),
        ({"op": "put", "key": "k"}, 400, "`value` is missing"),
        ({"op": "put", "value": {}}, 400, "`key` is missing"),
        ({"op": "put", "key": "", "value": {}}, 400, "`key` must have at least 1 character"),
        ({"op": "put", "key": "k" * 201, "value": {}}, 400, "`key` must have at most 200 characters"),
        ({"op": "put", "key": 1, "value": {}}, 400, "`key` must be a string, not an integer"),
        ({"op": "put", "key": "k", "value": {}, "expiresMs": 0}, 400, "`expiresMs` must be at least 1"),
        ({"op": "put", "key": "k", "value": {}, "expiresMs": "1"}, 400, "`expiresMs` must be an integer"),
        ({"op": "put", "key": "k", "value": {}, "expiresMs": 1, "expiresAt": "2099-01-01"}, 400, "only one of"),
        ({"op": "put", "key": "k", "value": {}, "ifNoneMatch": "x"}, 400, "`ifNoneMatch`"),
        ({"op": "put", "key": "k", "value": {}, "more": 1}, 400, "`more` is unknown"),
        ({"op": "patch", "key": "k", "value": {}, "expiresMs": 1}, 400, "`expiresMs` is unknown"),
        ({"op": "delete", "key": "k", "expiresMs": 1}, 400, "`expiresMs` is unknown"),
        ({"op": "delete", "key": "k", "value": {}}, 400, "`value` is unknown"),
        ({"op": "create", "key": "k", "value": {}, "ifMatch": "*"}, 400, "`ifMatch` is unknown"),
        ({"op": "get", "key": "k"}, 400, "`op` must be one of create, put, patch, delete"),
        ({"op": 1, "key": "k"}, 400, "`op` must be one of create, put, patch, delete"),
        ({"key": "k"}, 400, "`op` is missing"),
    ],
)
async def test_the_refusal_of_a_batch_names_the_operation_and_nothing_is_done(
    project: Client, operation: dict[str, Any], status: int, message: str
) -> None:
    await project.put("d", "there", b"{}")
    assert message in refused(await batch(project, OK, operation), status, 1)
    assert (await project.get("d", "k")).status == 404


@pytest.mark.parametrize("wrong", ["[]", "1", "null", '"x"'])
async def test_an_operation_that_is_not_an_object_is_named(project: Client, wrong: str) -> None:
    reply = await project.ask("POST", BATCH + "d", f'{{"operations":[{wrong}]}}'.encode())
    assert "must be an object" in refused(reply, 400, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"operations":[]}',
        b'{"operations":{}}',
        b'{"operations":[],"more":1}',
        b'{"operations":[{"op":"delete"',
        b'{"operations":[{"op":"put","key":"k","value":{"\xff":1}}]}',
        json.dumps({"operations": [OK] * 101}).encode(),
    ],
)
async def test_a_body_that_is_not_a_batch_is_400_and_names_no_operation(project: Client, body: bytes) -> None:
    (await project.ask("POST", BATCH + "d", body)).refused(400)


async def test_a_batch_has_at_most_a_hundred_operations_and_a_megabyte(project: Client) -> None:
    def body(size: int) -> bytes:
        whole = json.dumps({"operations": [{**OK, "key": str(n), "value": {"v": "x" * 9_900}} for n in range(100)]})
        return (whole + " " * (size - len(whole))).encode()

    assert (await project.ask("POST", BATCH + "d", body(1_000_000))).status == 200
    (await project.ask("POST", BATCH + "d", body(1_000_001))).refused(413)
    assert len(await project.keys("d", limit=1000)) == 100


async def test_a_batch_with_an_idempotency_key_is_carried_out_once(project: Client) -> None:
    await project.put("d", "n", b'{"n":1}')
    operations = {"op": "create", "key": "a", "value": {}}, {"op": "patch", "key": "n", "value": {"m": 2}}, OK
    first = await batch(project, *operations, Idempotency_Key="x")
    assert first.status == 200
    again = await batch(project, *operations, Idempotency_Key="x")
    assert (again.status, again.body) == (200, first.body)
    (await batch(project, OK, Idempotency_Key="x")).refused(422)
    assert (await project.get("d", "n", "meta")).json["version"] == 2


async def test_a_category_that_a_batch_created_is_listed(project: Client) -> None:
    assert (await batch(project, OK, category="é ü")).status == 200
    assert (await project.get()).json == [{"category": "é ü", "count": 1}]
    assert (await batch(project, {"op": "delete", "key": "k"}, category="é ü")).status == 200
    assert (await project.get()).json == []


async def test_racing_batches_over_http_are_each_carried_out_once(project: Client) -> None:
    await project.put("d", "n", b"{}")

    async def one(number: int) -> Reply:
        return await batch(
            project,
            {"op": "patch", "key": "n", "value": {f"by{number}": 1}},
            {"op": "create", "key": f"k{number}", "value": {}},
        )

    assert {reply.status for reply in await asyncio.gather(*map(one, range(64)))} == {200}
    assert len((await project.get("d", "n")).json) == 64
    assert (await project.get("d", "n", "meta")).json["version"] == 65
    assert len(await project.keys("d", limit=1000)) == 65


async def test_the_path_of_batches_without_a_category_is_404(project: Client) -> None:
    assert (await project.ask("POST", BATCH, b"{}")).status == 404
    (await batch(project, OK, category="c" * 101)).refused(400)
    assert (await project.ask("GET", at("d"))).json == []
