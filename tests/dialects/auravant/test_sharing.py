"""Tests public values: who may read whose values, and how two values under one key are merged into one."""

import json
from collections.abc import Mapping

import pytest

from tests.dialects.auravant.client import Client, Reply, World


def values(reply: Reply, name: str = "user") -> Mapping[object, object]:
    assert reply.status == 200, reply.body
    assert all(list(each) == [name, "value"] for each in reply.json)
    return {each[name]: each["value"] for each in reply.json}


async def another(world: World, client: Client, user: str) -> Client:
    """Return a client of the same user with a token of another extension."""
    other = world.name("ext-other")
    token = {"token": world.name(f"other-{user}"), "user": world.name(user), "extension": other, "version": "1"}
    await world.declare(extensions=[{"client_id": other, "versions": ["1"], "claims": ["storage"]}], tokens=[token])
    return Client(world.http, client.running, str(token["token"]))


async def test_an_extension_reads_its_own_public_values_of_everybody(world: World) -> None:
    a, b, c = await world.open("a", "b", "c")
    ids = {name: world.name(name) for name in "abc"}
    await a.put("users", ids["a"], "public_ext_K", {"x": 1, "both": "ext"})
    await a.put("users", ids["a"], "public_priv_K", {"both": "priv", "y": 2})
    await b.patch("users", ids["b"], "public_priv_K", [1], create=True)
    await c.put("users", ids["c"], "K", "private")
    await c.put("users", ids["c"], "public_other_K", "not shared")
    assert values(await c.shared("user", key="K")) == {ids["a"]: {"x": 1, "both": "ext", "y": 2}, ids["b"]: [1]}
    assert values(await c.shared("user", key="K", users=ids["b"])) == {ids["b"]: [1]}
    assert values(await c.shared("user", key="K", users=f"{ids['c']},none, {ids['a']},")) == {
        ids["a"]: {"x": 1, "both": "ext", "y": 2}
    }
    assert values(await c.shared("user", key="ext_K")) == {ids["a"]: {"x": 1, "both": "ext"}}
    assert values(await c.shared("user", key="priv_K")) == {ids["a"]: {"both": "priv", "y": 2}, ids["b"]: [1]}
    assert values(await c.shared("user", key="other")) == {}
    assert values(await c.shared("user", key="other_K")) == {}
    await a.delete("users", ids["a"], "public_ext_K")
    assert values(await c.shared("user", key="K")) == {ids["a"]: {"both": "priv", "y": 2}, ids["b"]: [1]}


@pytest.mark.parametrize("level", ["user", "field", "farm"])
async def test_a_key_is_accepted_as_stored_and_without_its_prefixes(world: World, level: str) -> None:
    """The vendor's page shows one form for users, and the other for fields and farms."""
    scope, id = f"{level}s", world.name("a")
    plot = {} if level == "user" else {scope: [{"id": id, "permissions": {id: "owner"}}]}
    (a,) = await world.open("a", **plot)
    await a.put(scope, id, "public_ext_K", {"ext": 1})
    await a.put(scope, id, "public_priv_K", {"priv": 2})
    ext, priv = {"ext": 1}, {"priv": 2}
    for key, found in (
        ("K", ext | priv),
        ("ext_K", ext),
        ("priv_K", priv),
        ("public_ext_K", ext),
        ("public_priv_K", priv),
    ):
        assert values(await a.shared(level, key=key, **{scope: id}), level) == {id: found}, key
    other = await another(world, a, "a")
    for key, told in (("public_ext_K", {id: ext}), ("public_priv_K", {})):
        asked = {"key": key, "client_id": world.extension, scope: id}
        assert values(await other.shared(level, **asked), level) == told


async def test_another_extension_reads_only_values_that_are_public_for_all(world: World) -> None:
    (a,) = await world.open("a")
    id = world.name("a")
    other = await another(world, a, "a")
    await a.put("users", id, "public_ext_K", 1)
    await a.put("users", id, "public_priv_K", 2)
    await a.put("users", id, "public_priv_only", 3)
    assert values(await other.shared("user", key="K")) == {}
    assert values(await other.shared("user", key="K", client_id=world.extension)) == {id: 1}
    assert values(await other.shared("user", key="ext_K", client_id=world.extension)) == {id: 1}
    for key in ("priv_K", "only", "priv_only"):
        assert values(await other.shared("user", key=key, client_id=world.extension, users=id)) == {}
    assert values(await a.shared("user", key="K", client_id=world.extension)) == {id: 1}
    assert values(await a.shared("user", key="K", client_id="nobody's")) == {}


async def test_the_value_for_all_extensions_wins_unless_both_are_objects(world: World) -> None:
    (a,) = await world.open("a")
    id = world.name("a")
    for ext, priv in ((1, {"a": 1}), ({"a": 1}, 1), ([1], [2]), ("x", "y")):
        await a.put("users", id, "public_ext_K", ext, overwrite=True)
        await a.put("users", id, "public_priv_K", priv, overwrite=True)
        assert values(await a.shared("user", key="K")) == {id: ext}


async def test_two_objects_are_merged_also_with_repeated_names(world: World) -> None:
    (a,) = await world.open("a")
    id = world.name("a").encode()
    many = b"{" + b",".join([b'"a":1'] * 50_000) + b"}"
    for key, value in ((b"public_priv_K", many), (b"public_ext_K", b'{"a":"' + b"x" * 50_000 + b'"}')):
        assert (await a.storage("users", "PUT", b'{"id":"%b","key":"%b","value":%b}' % (id, key, value))).code == 0
    assert values(await a.shared("user", key="K")) == {id.decode(): {"a": "x" * 50_000}}


async def test_environments_are_separate_and_production_is_the_default(world: World) -> None:
    (a,) = await world.open("a")
    id, token = world.name("a"), world.name("dev")
    declared = {"token": token, "user": id, "extension": world.extension, "version": "1", "environment": "dev"}
    await world.declare(tokens=[declared])
    dev = Client(world.http, a.running, token)
    await a.put("users", id, "public_ext_K", "production")
    await dev.put("users", id, "public_ext_K", "dev")
    for client in (a, dev):
        assert values(await client.shared("user", key="K")) == {id: "production"}
        for no in ("false", "False", "0", ""):
            assert values(await client.shared("user", key="K", dev=no)) == {id: "production"}
        for yes in ("true", "TRUE", "1"):
            assert values(await client.shared("user", key="K", dev=yes)) == {id: "dev"}


@pytest.mark.parametrize("level", ["field", "farm"])
async def test_public_values_are_returned_of_fields_and_farms_that_the_caller_may_read(
    world: World, level: str
) -> None:
    scope, number = f"{level}s", int(world.mark, 16)
    uuid, hidden = world.name("uuid"), world.name("hidden")
    owner_id, reader_id = world.name("owner"), world.name("reader")
    owner, reader = await world.open(
        "owner",
        "reader",
        **{
            scope: [
                {"id": number, "permissions": {owner_id: "owner", reader_id: "read"}},
                {"id": uuid, "permissions": {owner_id: "owner", reader_id: "read"}},
                {"id": hidden, "permissions": {owner_id: "owner"}},
            ]
        },
    )
    for id in (number, uuid, hidden):
        await owner.put(scope, id, "public_ext_K", {"id": id})
    await owner.put(scope, number, "public_priv_K", {"more": 1})
    everything = f"{number},{uuid},{hidden},none"
    told = await reader.shared(level, key="K", **{scope: everything})
    assert values(told, level) == {number: {"id": number, "more": 1}, uuid: {"id": uuid}}
    assert values(await reader.shared(level, key="none", **{scope: everything}), level) == {}
    assert set(values(await owner.shared(level, key="K", **{scope: everything}), level)) == {number, uuid, hidden}
    for ids in (hidden, "none", f"{hidden},none", "x" * 300):
        refused = await reader.shared(level, key="K", **{scope: ids})
        assert (refused.status, refused.code) == (401, 3)


async def test_each_missing_or_invalid_parameter_has_its_code(world: World) -> None:
    (a,) = await world.open("a")
    for level, query, code, status in (
        ("user", {}, 1, 200),
        ("user", {"key": ""}, 1, 200),
        ("field", {"key": "k"}, 1, 200),
        ("field", {"key": "k", "fields": ""}, 1, 200),
        ("farm", {"key": "k", "farms": ","}, 1, 200),
        ("farm", {"farms": "1"}, 1, 200),
        ("user", {"key": "a b"}, 2, 200),
        ("user", {"key": "k\n"}, 2, 200),
        ("user", {"key": "k", "dev": "2"}, -4, 400),
        ("user", {"key": "k", "client_id": "x" * 101}, -4, 400),
    ):
        reply = await a.shared(level, **query)
        assert (reply.code, reply.status) == (code, status), (level, query)


async def test_values_of_many_users_are_sent_in_pieces_of_one_array(world: World) -> None:
    users = [f"u{n}" for n in range(600)]
    (first, *_rest) = await world.open("first")
    await world.declare(
        users=[world.name(user) for user in users],
        spaces=[
            {"id": world.name("s"), "admins": [world.name("first")], "members": [world.name(user) for user in users]}
        ],
    )
    for user in users:
        assert (await first.put("users", world.name(user), "public_ext_K", {"pad": "x" * 500})).code == 0
    reply = await first.shared("user", key="K")
    assert len(json.loads(reply.body)) == len(values(reply)) == 600
    assert "Content-Length" not in reply.headers


async def test_a_removed_user_shares_nothing_until_declared_again(world: World) -> None:
    a, b = await world.open("a", "b")
    id = world.name("a")
    await a.put("users", id, "public_ext_K", 1)
    await world.declare(users=[{"id": id, "remove": True}])
    assert values(await b.shared("user", key="K")) == values(await b.shared("user", key="K", users=id)) == {}
    await world.declare(users=[id])
    assert values(await b.shared("user", key="K")) == {id: 1}


async def test_a_refused_write_creates_no_link(world: World) -> None:
    """A link says that there may be a value, so a refused write must not leave one."""
    a, _ = await world.open("a", "b")
    with a.running.redis as client:
        before = client.keys("*:links:*public*")
        for id in (world.name("b"), world.name("none")):
            for key in ("public_ext_K", "public_priv_K"):
                assert (await a.put("users", id, key, 1)).code == 3
                assert (await a.patch("users", id, key, 1, create=True)).code == 3
        assert client.keys("*:links:*public*") == before
