"""Tests that PATCH applies RFC 7386 to the stored bytes."""

import pytest

from tests.dialects.ainoflow.client import Client, at

# The examples of RFC 7386, appendix A, in which document and patch are objects or arrays.
RFC_7386 = [
    ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    ('{"a":"b"}', '{"a":null}', "{}"),
    ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    ('["a","b"]', '["c","d"]', '["c","d"]'),
    ('{"a":"b"}', '["c"]', '["c"]'),
    ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
    ("[1,2]", '{"a":"b","c":null}', '{"a":"b"}'),
    ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
]
OUR_OWN = [
    ('{"a":1,"b":2}', "{}", '{"a":1,"b":2}'),
    ('{"a":1,"b":2,"a":3}', '{"a":4}', '{"a":4,"b":2,"a":4}'),
    ('{"a":1,"b":2,"a":3}', '{"a":null}', '{"b":2}'),
    ('{"a":1}', '{"a":2,"a":3}', '{"a":3}'),
    ('{"\\u0061":1,"b":2}', '{"a":null}', '{"b":2}'),
    ('{"a":12345678901234567890,"b":1.50}', '{"c":1E-7}', '{"a":12345678901234567890,"b":1.50,"c":1E-7}'),
    ('{"a":[1,null]}', '{"b":[null]}', '{"a":[1,null],"b":[null]}'),
    ('{"a":{"b":[]}}', '{"a":{"c":{}}}', '{"a":{"b":[],"c":{}}}'),
    ('{"a":"}{][\\"","b":1}', '{"b":2}', '{"a":"}{][\\"","b":2}'),
    ('{"{}":1}', '{"{}":{"a":2}}', '{"{}":{"a":2}}'),
]


@pytest.mark.parametrize(("document", "patch", "merged"), RFC_7386 + OUR_OWN)
async def test_a_patch_changes_only_the_members_that_it_names(
    project: Client, document: str, patch: str, merged: str
) -> None:
    await project.put("d", "k", document.encode())
    patched = await project.ask("PATCH", at("d", "k"), patch.encode())
    assert (patched.status, patched.json["version"]) == (200, 2)
    found = await project.get("d", "k")
    assert found.body.decode() == merged
    assert patched.json["etag"] == found.headers["ETag"].strip('"')


async def test_members_that_the_patch_does_not_name_keep_white_space_and_escapes(project: Client) -> None:
    await project.put("d", "k", b'{ "a" : [ 1,\t2 ] ,\r\n "b":"\\u00e9\\/" , "c" : 1.0 }')
    await project.ask("PATCH", at("d", "k"), b'{"c": 2}')
    assert (await project.get("d", "k")).body == b'{ "a" : [ 1,\t2 ] ,\r\n "b":"\\u00e9\\/" , "c" : 2 }'


async def test_a_patch_of_a_missing_document_is_404(project: Client) -> None:
    (await project.ask("PATCH", at("d", "k"), b"{}")).refused(404)
    await project.nothing_stored()


@pytest.mark.parametrize("patch", [b"1", b'"text"', b"true", b"null", b"1.5"])
async def test_a_patch_that_would_leave_a_scalar_is_refused(project: Client, patch: bytes) -> None:
    await project.put("d", "k", b"[1]")
    (await project.ask("PATCH", at("d", "k"), patch)).refused(400)
    meta = (await project.get("d", "k", "meta")).json
    assert (meta["version"], meta["size"]) == (1, 3)


async def test_a_patch_keeps_the_expiry_and_the_creator(project: Client) -> None:
    await project.put("d", "k", b"{}", expiresAt="2099-01-01T00:00:00Z")
    patched = await project.ask("PATCH", at("d", "k"), b'{"a":1}')
    assert patched.json["expiresAt"] == "2099-01-01T00:00:00Z"
    assert (await project.get("d", "k", "meta")).json["expiresAt"] == "2099-01-01T00:00:00Z"


async def test_a_patch_beyond_the_limit_is_413_and_changes_nothing(project: Client) -> None:
    large = b'{"a":"' + b"x" * (10 * 1024 * 1024 - 8) + b'"}'
    await project.put("d", "k", large)
    (await project.ask("PATCH", at("d", "k"), b'{"b":1}')).refused(413)
    meta = (await project.get("d", "k", "meta")).json
    assert (meta["version"], meta["size"]) == (1, len(large))
    assert (await project.ask("PATCH", at("d", "k"), b'{"a":null}')).json["version"] == 2
    assert (await project.get("d", "k")).body == b"{}"


@pytest.mark.parametrize("depth", [500, 800])
@pytest.mark.parametrize("weight", [0, 200_000])
async def test_deeply_nested_members_are_patched(project: Client, depth: int, weight: int) -> None:
    def document(innermost: bytes) -> bytes:
        return b'{"pad":"%b","a":%b}' % (b"x" * weight, nested(depth, innermost))

    await project.put("d", "k", document(b'{"n":1,"keep":1.0}'))
    patch = b'{"a":%b}' % nested(depth, b'{"n":2}')
    assert (await project.ask("PATCH", at("d", "k"), patch)).status == 200
    assert (await project.get("d", "k")).body == document(b'{"n":2,"keep":1.0}')


def nested(depth: int, innermost: bytes) -> bytes:
    return b'{"a":' * depth + innermost + b"}" * depth


@pytest.mark.parametrize("size", [1_000, 127_000, 129_000, 600_000, 2_000_000])
async def test_documents_of_every_size_are_patched_in_the_same_way(project: Client, size: int) -> None:
    members = ",".join(f'"member{i}":{{"n":{i}.0,"t":"é\\u00e9"}}' for i in range(size // 40))
    await project.put("d", "k", f"{{{members}}}".encode())
    patch = b'{"member3":{"n":null},"member5":null,"new":[1e2]}'
    assert (await project.ask("PATCH", at("d", "k"), patch)).status == 200
    expected = members.replace('"member3":{"n":3.0,', '"member3":{').replace('"member5":{"n":5.0,"t":"é\\u00e9"},', "")
    assert (await project.get("d", "k")).body == f'{{{expected},"new":[1e2]}}'.encode()
