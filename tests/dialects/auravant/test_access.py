"""Tests that permissions follow from what is declared, also if it is declared later, again, or removed."""

from typing import Any

import pytest

from service.dialects.auravant.grants import CIRCLES, readable
from tests.dialects.auravant.applying import Applying
from tests.dialects.auravant.client import World
from tests.running import soon


async def test_a_change_of_a_space_or_group_applies_to_present_and_former_members(access: Applying) -> None:
    await access.apply(spaces=[{"id": "s", "admins": ["admin"], "members": ["u1", "u2"]}])
    await access.apply(groups=[{"id": "g", "supervisors": {"boss": "read"}, "members": ["u1"]}])
    assert access.leaders("u1") == {"admin": "drw", "boss": "r"}
    assert access.leaders("u2") == {"admin": "drw"}
    await access.apply(groups=[{"id": "g", "supervisors": {"boss": "edit"}}])  # the members stay
    assert access.leaders("u1") == {"admin": "drw", "boss": "drw"}
    await access.apply(spaces=[{"id": "s", "members": ["u2"]}])  # the admins stay
    assert access.leaders("u1") == {"boss": "drw"}
    assert access.leaders("u2") == {"admin": "drw"}
    assert await access.linked(CIRCLES, "u1") == ["group:g"]
    await access.apply(spaces=[{"id": "s", "admins": ["boss"]}])
    assert access.leaders("u2") == {"boss": "drw"}
    await access.apply(spaces=[{"id": "s", "remove": True}], groups=[{"id": "g", "remove": True}])
    assert access.leaders("u1") == access.leaders("u2") == {}
    assert await access.linked(CIRCLES, "u1") == await access.linked("members", "space:s") == []


async def test_leaders_have_their_permissions_at_a_member_that_is_declared_later(access: Applying) -> None:
    await access.apply(spaces=[{"id": "s", "admins": ["admin"], "members": ["new"]}])
    assert access.granted("users", "new") is None
    await access.apply(users=["new"])
    assert access.leaders("new") == {"admin": "drw"}


async def test_permissions_replace_earlier_ones_of_the_same_field_only(access: Applying) -> None:
    both = [{"id": 1, "permissions": {"u1": "owner", "u2": "add"}}, {"id": "2", "permissions": {"u1": "read"}}]
    await access.apply(fields=both, farms=both)
    await access.apply(fields=[{"id": "1", "permissions": {"u2": "administration"}}])
    assert access.granted("fields", "1") == {"u2": "drw"}
    assert access.granted("farms", "1") == {"u1": "drw", "u2": "rw"}
    assert access.granted("fields", "2") == {"u1": "r"}
    assert await access.linked(readable("fields"), "u1") == ["2"]
    assert await access.linked(readable("fields"), "u2") == ["1"]
    assert await access.linked(readable("farms"), "u1") == ["1", "2"]
    await access.apply(fields=[{"id": 2, "remove": True}], users=[{"id": "u1", "remove": True}])
    assert access.granted("fields", "2") is None
    assert access.granted("users", "u1") is None
    assert await access.linked(readable("fields"), "u1") == []


async def test_applying_a_document_twice_has_the_effect_of_applying_it_once(access: Applying) -> None:
    document = {
        "spaces": [{"id": "s", "admins": ["admin"], "members": ["u1", "u2"]}],
        "groups": [{"id": "g", "supervisors": {"boss": "read"}, "members": ["u1"]}],
        "fields": [{"id": n, "permissions": {"u1": "owner", "u2": "read"}} for n in range(40)],
        "extensions": [{"client_id": "e", "versions": [1], "claims": ["storage"]}],
        "tokens": [{"token": "t", "user": "u1", "extension": "e", "version": 1}],
    }

    def told() -> dict[bytes, object]:
        found: dict[bytes, object] = {}
        for key in access.server.command("KEYS", "*"):
            kind = access.server.command("TYPE", key)
            if kind == b"hash":
                fields: dict[bytes, bytes] = access.server.command("HGETALL", key)
                found[key] = {subject: verbs for subject, verbs in fields.items() if subject}
            elif kind == b"zset":
                found[key] = {*access.server.command("ZRANGE", key, 0, -1)}
            elif not key.startswith((b"polystow:epoch", b"polystow:revision")):
                found[key] = access.server.command("GET", key)
        return found

    await access.apply(**document)
    once = told()
    await access.apply(**document)
    assert told() == once


BAD: list[dict[str, Any]] = [
    {"users": [""]},
    {"users": ["*"]},
    {"users": ["x" * 81]},
    {"users": [1.5]},
    {"users": [{"name": "u"}]},
    {"spaces": [{"admins": []}]},
    {"spaces": [{"id": "s", "admins": ["*"]}]},
    {"spaces": [{"id": "s", "extra": 1}]},
    {"groups": [{"id": "g", "supervisors": {"u": "write"}}]},
    {"groups": [{"id": "g", "supervisors": ["u"]}]},
    {"fields": [{"id": 1}]},
    {"fields": [{"id": 1, "permissions": {"u": "boss"}}]},
    {"fields": [{"id": ""}]},
    {"farms": [{"id": "x" * 201, "permissions": {}}]},
    {"farms": [{"id": 1, "permissions": {"*": "read"}}]},
    {"extensions": [{"versions": []}]},
    {"extensions": [{"client_id": ""}]},
    {"extensions": [{"client_id": "x" * 101}]},
    {"tokens": [{"user": "u"}]},
    {"tokens": [{"user": "u", "extension": "e", "version": 1, "environment": "test"}]},
    {"tokens": [{"token": "a b", "user": "u", "extension": "e", "version": 1}]},
    {"tokens": [{"remove": True}]},
]


@pytest.mark.parametrize("section", BAD, ids=str)
async def test_an_invalid_access_document_writes_nothing(access: Applying, section: dict[str, Any]) -> None:
    before = {key: access.server.command("DUMP", key) for key in access.server.command("KEYS", "*")}
    with pytest.raises(Exception, match=r"^(a key of )?auravant\b.*: "):
        await access.apply(**section)
    assert {key: access.server.command("DUMP", key) for key in access.server.command("KEYS", "*")} == before


async def test_values_of_a_removed_resource_cannot_be_reached_until_it_is_declared_again(world: World) -> None:
    field = {"id": world.name("f"), "permissions": {world.name("owner"): "owner"}}
    (owner,) = await world.open("owner", fields=[field])
    await owner.put("fields", field["id"], "k", 1)
    await world.declare(fields=[{"id": field["id"], "remove": True}])
    assert (await owner.get("fields", [field["id"]], "k")).code == 5
    assert (await owner.get("fields", [], "k")).objects == {}
    assert (await owner.put("fields", field["id"], "k", 2, overwrite=True)).code == 3
    assert (await owner.delete("fields", field["id"], "k")).code == 3
    await world.declare(fields=[field])
    assert (await owner.get("fields", [], "k")).objects == {field["id"]: {"k": 1}}


async def test_tokens_are_generated_shown_once_and_removed(world: World) -> None:
    (owner,) = await world.open("owner")
    described = {"user": world.name("owner"), "extension": world.extension, "version": "1", "environment": "dev"}
    (issued,) = await world.declare(tokens=[described])
    assert issued["id"] == world.name("owner")
    assert await world.declare(tokens=[described]) == []
    client = type(owner)(world.http, world.running, issued["token"])
    assert (await client.get("users", [], "k")).code == 0
    await world.declare(tokens=[{**described, "remove": True}])

    async def refused() -> bool:
        return (await client.get("users", [], "k")).status == 401

    await soon(refused)
    assert (await client.get("users", [], "k")).code == -3


async def test_new_versions_and_claims_of_an_extension_count_within_a_second(world: World) -> None:
    (owner,) = await world.open("owner")
    for versions, claims, code in ((["2"], ["storage"], 4), (["1"], [], -1), (["1", "2"], ["storage"], 0)):
        await world.declare(extensions=[{"client_id": world.extension, "versions": versions, "claims": claims}])

        async def counts(code: int = code) -> bool:
            return (await owner.get("users", [], "k")).code == code

        await soon(counts)
