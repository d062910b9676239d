"""Tests that values come back byte for byte, and the codes that depend on whether there is a value."""

import json

import pytest

from tests.dialects.auravant.client import DONE, World

EXACT = [
    b'{ "a" : 1.50 , "b" :[ ] }',
    b"[]",
    b"{}",
    b"100000000000001",
    b"12345678901234567890",
    b"1e400",
    b"-0",
    b"true",
    b"false",
    b'""',
    b'"\\u00e9\\/"',
    '"é日😀"'.encode(),
    b'{"z":1,"a":2,"z":3}',
    b"[" * 400 + b"]" * 400,
    b"0",
    b'"null"',
    b'{"value":1,"data":null}',
]


@pytest.mark.parametrize("value", EXACT, ids=lambda value: value[:20].decode())
async def test_a_value_comes_back_byte_for_byte(world: World, value: bytes) -> None:
    owner, id = (await world.open("owner"))[0], world.name("owner")
    body = b'{"id":"%b","key":"k","value":\n %b ,"overwrite":true}' % (id.encode(), value)
    for _ in range(2):  # by the handler, then by the fast path
        reply = await owner.storage("users", "PUT", body)
        assert (reply.status, reply.json) == (200, DONE)
        reply = await owner.storage("users", "GET", {"keys": ["k"]})
        assert reply.body == b'{"code":0,"res":"ok","info":{"code":0,"res":"ok","objects":{"k":%b}}}' % value
        reply = await owner.get("users", [id], "k")
        assert reply.body.endswith(b'"objects":{"%b":{"k":%b}}}}' % (id.encode(), value))


async def test_large_values_come_back_byte_for_byte(world: World) -> None:
    """The values are larger than the first portion of a read, and more than are held in memory at the same time."""
    owner, id = (await world.open("owner"))[0], world.name("owner")
    values = {f"k{n}": "x" * (n * 400_000 + 1) for n in range(6)} | {"huge": ["y" * 9_000_000]}
    for key, value in values.items():
        assert (await owner.put("users", id, key, value)).code == 0
    assert (await owner.storage("users", "GET", {"keys": [*values]})).objects == values
    assert (await owner.get("users", [id], "huge", "none")).objects == {id: {"huge": values["huge"]}}
    assert (await owner.patch("users", id, "huge", ["z"], append=True)).code == 0
    assert (await owner.get("users", [], "huge")).objects == {id: {"huge": [*values["huge"], "z"]}}


async def test_value_wins_over_data_and_null_counts_as_absent(world: World) -> None:
    owner, id = (await world.open("owner"))[0], world.name("owner")
    for more, expected in (
        ({"value": 1, "data": 2}, 1),
        ({"data": 2}, 2),
        ({"value": None, "data": 3}, 3),
        ({"value": False}, False),
    ):
        assert (await owner.storage("users", "PUT", {"id": id, "key": "k", "overwrite": True, **more})).code == 0
        assert (await owner.storage("users", "GET", {"keys": ["k"]})).objects == {"k": expected}
    for names in ((), ("value",), ("data",), ("value", "data")):
        body = {"id": id, "key": "new"} | dict.fromkeys(names)
        assert (await owner.storage("users", "PUT", body)).code == 1


async def test_put_creates_and_overwrites_only_with_the_flag(world: World) -> None:
    owner, id = (await world.open("owner"))[0], world.name("owner")
    assert (await owner.put("users", id, "k", 1)).code == 0
    for more in ({}, {"overwrite": False}):
        assert (await owner.put("users", id, "k", 2, **more)).code == 5
    assert (await owner.get("users", None, "k")).objects == {"k": 1}
    assert (await owner.put("users", id, "k", 3, overwrite=True)).code == 0
    assert (await owner.get("users", None, "k")).objects == {"k": 3}
    large = ["x" * 40_000]
    assert (await owner.put("users", id, "k", large)).code == 5
    assert (await owner.put("users", id, "l", large)).code == 0


async def test_patch_replaces_and_creates_only_with_the_flag(world: World) -> None:
    owner, id = (await world.open("owner"))[0], world.name("owner")
    for more in ({}, {"create": False}, {"append": True}, {"overwrite": True}):
        assert (await owner.patch("users", id, "k", [1], **more)).code == 5
    assert (await owner.get("users", None, "k")).objects == {}
    for key, more in (("a", {"create": True}), ("b", {"create": True, "append": True})):
        assert (await owner.patch("users", id, key, [1], **more)).code == 0
        assert (await owner.patch("users", id, key, [2], **more)).code == 0
    assert (await owner.get("users", None, "a", "b")).objects == {"a": [2], "b": [1, 2]}
    assert (await owner.patch("users", id, "a", {"new": 1})).code == 0
    assert (await owner.get("users", None, "a")).objects == {"a": {"new": 1}}
    large = ["x" * 40_000]
    for key in ("c", "c"):
        assert (await owner.patch("users", id, key, large, create=True, append=True)).code == 0
    assert (await owner.get("users", None, "c")).objects == {"c": large * 2}


APPENDED = [
    ([1], [2, 3], [1, 2, 3]),
    ([1], 2, [1, 2]),
    ([1], {"a": 1}, [1, {"a": 1}]),
    ([1], "x", [1, "x"]),
    ({"a": 1, "b": {"c": 1}}, {"b": {"d": 2}, "e": 3}, {"a": 1, "b": {"d": 2}, "e": 3}),
    ("ab", "cd", "abcd"),
    (1, 2, None),
    ("a", 1, None),
    ({"a": 1}, [1], None),
    ("a", ["b"], None),
    (True, True, None),
    ({}, "x", None),
]


@pytest.mark.parametrize(("value", "more", "expected"), APPENDED)
async def test_append_depends_on_the_types_of_both_values(
    world: World, value: object, more: object, expected: object
) -> None:
    owner, id = (await world.open("owner"))[0], world.name("owner")
    await owner.put("users", id, "k", value)
    code = (await owner.patch("users", id, "k", more, append=True)).code
    assert code == (6 if expected is None else 0)
    assert (await owner.get("users", None, "k")).objects == {"k": value if expected is None else expected}


async def test_delete_removes_existing_keys(world: World) -> None:
    owner, id = (await world.open("owner"))[0], world.name("owner")
    keys = [f"k{n}" for n in range(250)]
    for key in keys[:3]:
        await owner.put("users", id, key, 1)
    assert (await owner.delete("users", id, keys[0], "absent")).code == 0
    assert (await owner.delete("users", id, keys[0])).code == 0
    assert (await owner.get("users", None, *keys[:3])).objects == {"k1": 1, "k2": 1}
    assert (await owner.delete("users", id, *keys)).code == 0
    assert (await owner.get("users", None, *keys)).objects == {}


async def test_ids_may_be_numbers_or_strings(world: World) -> None:
    number = int(world.mark, 16)
    (owner,) = await world.open("owner", farms=[{"id": number, "permissions": {world.name("owner"): "owner"}}])
    assert (await owner.put("farms", number, "k", 1)).code == 0
    assert (await owner.put("farms", str(number), "k", 1)).code == 5
    assert (await owner.get("farms", [str(number), number], "k", "k")).objects == {str(number): {"k": 1}}
    assert (await owner.delete("farms", str(number), "k")).code == 0


async def test_without_ids_the_caller_or_all_readable_resources_are_meant(world: World) -> None:
    owner_id, reader_id = world.name("owner"), world.name("reader")
    fields = [{"id": world.name(f"f{n}"), "permissions": {owner_id: "owner"}} for n in range(3)]
    fields[0]["permissions"][reader_id] = "read"  # type: ignore[index]
    owner, reader = await world.open("owner", "reader", fields=fields)
    for field in fields[:2]:
        await owner.put("fields", field["id"], "k", 1)
    await owner.put("users", owner_id, "k", 2)
    nothing: tuple[list[str] | None, ...] = ([], None)
    for ids in nothing:
        assert (await owner.get("fields", ids, "k")).objects == {world.name("f0"): {"k": 1}, world.name("f1"): {"k": 1}}
        assert (await reader.get("fields", ids, "k")).objects == {world.name("f0"): {"k": 1}}
        assert (await reader.get("farms", ids, "k")).objects == {}
    assert (await owner.get("users", [], "k")).objects == {owner_id: {"k": 2}}
    assert (await owner.get("users", None, "k")).objects == {"k": 2}
    assert (await owner.storage("users", "GET", {"keys": ["k"]})).objects == {"k": 2}


async def test_one_unknown_or_forbidden_id_fails_the_whole_request(world: World) -> None:
    mine, other = world.name("mine"), world.name("other")
    (owner,) = await world.open(
        "owner",
        fields=[
            {"id": mine, "permissions": {world.name("owner"): "owner"}},
            {"id": other, "permissions": {}},
        ],
    )
    await owner.put("fields", mine, "k", 1)
    assert (await owner.get("fields", [mine, other], "k")).code == 3
    assert (await owner.get("fields", [mine, world.name("none")], "k")).code == 5
    assert (await owner.get("fields", [other, world.name("none")], "k")).code == 5
    assert (await owner.get("fields", [world.name("none")], "k")).code == 5
    assert (await owner.get("fields", ["x" * 201], "k")).code == 5
    for id in (world.name("none"), "x" * 201, other):  # their code 5 has another reason
        assert (await owner.put("fields", id, "k", 1)).code == 3
        assert (await owner.patch("fields", id, "k", 1, create=True)).code == 3
        assert (await owner.patch("fields", id, "k", 1, append=True)).code == 3
        assert (await owner.delete("fields", id, "k")).code == 3


async def test_a_form_has_the_same_effect_as_json(world: World) -> None:
    owner, id = (await world.open("owner"))[0], world.name("owner")

    async def form(operation: str, text: str) -> int:
        target = f"/api/mktplace/storage/users?operation={operation}"
        kind = "application/x-www-form-urlencoded; charset=utf-8"
        return (await owner.ask("POST", target, text.encode(), Content_Type=kind)).code

    for _ in range(2):
        put = f"id={id}&key=k&value=%7B+%22a%22%3A1.50%2C%22b%22%3A%22%C3%A9%22%7D"
        assert await form("PUT", put + "&overwrite=true") == 0
        assert (await owner.get("users", None, "k")).body.endswith('{"k":{ "a":1.50,"b":"é"}}}}'.encode())
        assert await form("PUT", put) == await form("PUT", put + "&overwrite=false") == 5
        assert await form("PATCH", f"id={id}&key=k&data=%5B1%5D") == 0
        assert await form("PATCH", f"id={id}&key=k&value=2&append=true") == 0
        assert (await owner.get("users", None, "k")).objects == {"k": [1, 2]}
        assert await form("GET", 'ids=%5B"' + id + '"%5D&keys=%5B"k"%5D') == 0
        assert (
            await form("GET", "keys=%5B%5D") == await form("GET", "keys=") == await form("PUT", f"id={id}&key=k") == 1
        )
        assert await form("DELETE", f'id={id}&keys=%5B"k"%5D') == 0
    for operation, text in (
        ("GET", ""),
        ("GET", "keys=k"),
        ("GET", "keys=1"),
        ("PUT", f"id={id}&key=n&value=1&overwrite=2"),
        ("PUT", f"id={id}&key=n&value=%FF"),
        ("GET", "&" * 200),
        ("GET", "keys=%5B1%5D"),
        ("PUT", f"id={id}&key=n&value=" + "[" * 100_000),
    ):
        assert await form(operation, text) == -4
    assert (await owner.get("users", None, "n")).objects == {}


async def test_a_form_value_that_is_not_json_is_stored_as_a_string(world: World) -> None:
    (owner,) = await world.open("owner")
    for text, value in (
        ("hello", "hello"),
        ("+two+words+", " two words "),
        ("007", "007"),
        ("%7B", "{"),
        ("%22quoted%22", "quoted"),
        ("%22%5Cud800%22", '"\\ud800"'),
        ("%C3%A9%0A", "é\n"),
        ("True", "True"),
        ("true", True),
        ("1.50", 1.5),
    ):
        body = f"id={world.name('owner')}&key=k&overwrite=1&value={text}".encode()
        target = "/api/mktplace/storage/users?operation=PUT"
        reply = await owner.ask("POST", target, body, Content_Type="application/x-www-form-urlencoded")
        assert reply.code == 0, text
        assert (await owner.get("users", None, "k")).objects == {"k": value}


async def test_json_is_accepted_with_any_content_type(world: World) -> None:
    """`curl -d` sends JSON with the type of a form."""
    (owner,) = await world.open("owner")
    target, body = (
        "/api/mktplace/storage/users?operation=PUT",
        {"id": world.name("owner"), "key": "k", "value": "a=b&c"},
    )
    for type in ("application/x-www-form-urlencoded", "text/plain"):
        text = json.dumps({**body, "overwrite": True}).encode()
        assert (await owner.ask("POST", target, b" \n" + text, Content_Type=type)).code == 0
    assert (await owner.get("users", None, "k")).objects == {"k": "a=b&c"}


async def test_values_belong_to_an_extension_and_an_environment(world: World) -> None:
    (owner,) = await world.open("owner")
    id, other = world.name("owner"), world.name("ext-other")
    tokens = {
        name: {"token": world.name(name), "user": id, "extension": extension, "version": "1", "environment": collection}
        for name, extension, collection in (("dev", world.extension, "dev"), ("other", other, "production"))
    }
    await world.declare(
        extensions=[{"client_id": other, "versions": [1], "claims": ["storage"]}], tokens=[*tokens.values()]
    )
    clients = {name: type(owner)(world.http, world.running, token["token"]) for name, token in tokens.items()}
    for name, client in {"production": owner, **clients}.items():
        assert (await client.put("users", id, "k", name)).code == 0
    for name, client in {"production": owner, **clients}.items():
        assert (await client.get("users", None, "k")).objects == {"k": name}
    assert json.loads((await owner.get("users", None, "k")).body)["info"]["objects"] == {"k": "production"}
