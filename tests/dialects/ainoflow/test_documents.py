"""Tests creating, storing, reading and deleting documents."""

from hashlib import md5

import pytest

from tests.dialects.ainoflow.client import DOCUMENTS, Client, at

DAMAGED_BY_REENCODING = [
    b"[]",
    b'{"a":[],"b":{}}',
    b'{"n":100000000000001,"m":12345678901234567890,"e":1e2,"f":1.50,"z":-0.0,"s":1E-7,"h":1e400}',
    b'{"z":1,"a":2,"m":3}',
    b' \r\n\t{ "white" :\t[ 1 , 2 ] }\n ',
    b'{"a":1,"a":2}',
    '{"text":"é\\u00e9\\/\\u0000\U0001f600\\ud83d\\ude00","":0}'.encode(),
    b'{"deep":' + b"[" * 20 + b"1" + b"]" * 20 + b"}",
]


@pytest.mark.parametrize("document", DAMAGED_BY_REENCODING)
async def test_a_document_comes_back_byte_for_byte(project: Client, document: bytes) -> None:
    written = (await project.put("d", "k", document)).json
    found = await project.get("d", "k")
    assert (found.status, found.body) == (200, document)
    assert found.headers["Content-Type"] == "application/json"
    assert written["etag"] == md5(document).hexdigest()
    assert (await project.get("d", "k", "meta")).json["size"] == len(document)
    assert document in (await project.get("d")).body


async def test_put_answers_200_also_when_it_creates_and_the_version_grows(project: Client) -> None:
    written = [(await project.put("d", "k", body)).json for body in (b'{"n":1}', b'{"n":2}', b'{"n":2}')]
    assert [each["version"] for each in written] == [1, 2, 3]
    assert list(written[0]) == ["category", "key", "version", "etag", "expiresAt"]


async def test_generated_keys_are_32_hex_digits_and_all_different(project: Client) -> None:
    replies = [await project.ask("POST", at("d"), b"{}") for _ in range(20)]
    assert {reply.status for reply in replies} == {201}
    created = {reply.json["key"] for reply in replies}
    assert len(created) == 20
    assert all(len(key) == 32 and set(key) <= set("0123456789abcdef") for key in created)
    assert sorted(await project.keys("d")) == sorted(created)


async def test_a_document_is_created_once(project: Client) -> None:
    assert (await project.ask("POST", at("d", "k"), b"[1]")).status == 201
    message = (await project.ask("POST", at("d", "k"), b"[2]")).refused(409)
    assert message == "Item with category 'd' and key 'k' already exists"
    assert (await project.get("d", "k")).body == b"[1]"
    assert (await project.get("d", "k", "meta")).json["version"] == 1


async def test_a_missing_document_is_404_or_empty_if_that_is_allowed(project: Client) -> None:
    (await project.get("d", "k")).refused(404)
    (await project.get("d", "k", "meta")).refused(404)
    (await project.get("d", "k", allowEmpty="false")).refused(404)
    empty = await project.get("d", "k", allowEmpty="true")
    assert (empty.status, empty.body) == (200, b"{}")
    assert "ETag" not in empty.headers
    await project.put("d", "k", b"[1]")
    assert (await project.get("d", "k", allowEmpty="true")).body == b"[1]"


async def test_a_second_delete_is_not_found(project: Client) -> None:
    await project.put("d", "k")
    deleted = await project.ask("DELETE", at("d", "k"))
    assert (deleted.status, deleted.json) == (200, {"category": "d", "key": "k"})
    (await project.ask("DELETE", at("d", "k"))).refused(404)
    (await project.get("d", "k")).refused(404)
    await project.nothing_stored()


async def test_a_deleted_document_starts_again_at_version_1(project: Client) -> None:
    await project.put("d", "k")
    await project.put("d", "k")
    await project.ask("DELETE", at("d", "k"))
    assert (await project.put("d", "k")).json["version"] == 1


async def test_meta_has_authors_and_times(project: Client) -> None:
    await project.put("d", "k", b'{"n":1}')
    first = (await project.get("d", "k", "meta")).json
    await project.put("d", "k", b'{"n":12}')
    second = (await project.get("d", "k", "meta")).json
    assert list(first) == [
        "category",
        "key",
        "createdAt",
        "updatedAt",
        "expiresAt",
        "version",
        "etag",
        "size",
        "createdBy",
        "updatedBy",
    ]
    assert first["createdAt"] == first["updatedAt"] == second["createdAt"] < second["updatedAt"]
    assert (second["version"], second["size"], second["expiresAt"]) == (2, 8, None)
    assert second["createdBy"] == second["updatedBy"] == project.project


async def test_the_route_meta_is_never_a_document(project: Client) -> None:
    await project.put("d", "k")
    assert (await project.get("d", "k", "meta")).json["key"] == "k"
    await project.put("d", "meta", b'{"a":1}')
    assert (await project.get("d", "meta")).json == {"a": 1}
    (await project.ask("PUT", at("d", "k", "meta"), b"{}")).refused(405)


@pytest.mark.parametrize("target", [at("d", "k"), at("d", "k", "meta"), at("d"), DOCUMENTS, "/api/v1/whoami"])
async def test_head_has_the_headers_of_get_and_no_body(project: Client, target: str) -> None:
    await project.put("d", "k", b'{"n":1}')
    asked, head = await project.ask("GET", target), await project.ask("HEAD", target)
    assert (head.status, head.body) == (200, b"")
    differing = {name for name in asked.headers if head.headers.get(name) != asked.headers[name]}
    assert differing <= {"Date"}


async def test_head_of_a_missing_document_is_404(project: Client) -> None:
    missing = await project.ask("HEAD", at("d", "k"))
    assert (missing.status, missing.body) == (404, b"")


async def test_the_content_type_of_a_document_is_ignored(project: Client) -> None:
    for kind in ("application/x-www-form-urlencoded", "text/plain; charset=latin-1", "nonsense"):
        assert (await project.ask("PUT", at("d", "k"), b"[1]", Content_Type=kind)).status == 200
        assert (await project.get("d", "k")).body == b"[1]"
