"""Tests the permissions of every caller for every scope and operation.

The expected table was written from the vendor's page, independently of the dialect's table.
"""

import itertools

import pytest

from tests.dialects.auravant.client import Client, World

R, W, D = "r", "w", "d"

# "created/retrieved by the user in question / the administrator of the space / the supervisor with edit permission",
# "retrieved by the supervisor with read permission", "deleted by the user itself or the supervisor or administrator";
# "created/retrieved by users owning or having edit/add/administration permission", "retrieved by users with read
# permission", "deleted by users owning or having administration permission".
MAY = {
    "users": {
        "self": R + W + D,
        "space admin": R + W + D,
        "edit supervisor": R + W + D,
        "read supervisor": R,
        "space member": "",
        "group member": "",
        "other space's admin": "",
        "other group's supervisor": "",
        "field owner": "",
        "stranger": "",
        "admin and read supervisor": R + W + D,
        "former admin": "",
    },
    "fields": {
        "owner": R + W + D,
        "administration": R + W + D,
        "edit": R + W,
        "add": R + W,
        "read": R,
        "farm owner": "",
        "owner's admin": "",
        "owner's supervisor": "",
        "stranger": "",
        "former owner": "",
    },
}
MAY["farms"] = MAY["fields"]

OPERATIONS = {
    "PUT": W,
    "PUT overwriting": W,
    "PATCH": W,
    "PATCH creating": W,
    "PATCH appending": W,
    "GET": R,
    "GET of two keys": R,
    "DELETE": D,
}
CELLS = [
    (scope, caller, operation)
    for scope, callers in MAY.items()
    for caller, operation in itertools.product(callers, OPERATIONS)
]


def test_the_matrix_of_permissions_has_many_cases() -> None:
    assert len(CELLS) >= 150


def declared(world: World, scope: str, id: str, user: dict[str, str]) -> dict[str, object]:
    """Return the section of the access document that gives each caller its role. `user`: the ids of the callers."""
    if scope == "users":
        return {
            "spaces": [
                {
                    "id": world.name("s1"),
                    "admins": [user["space admin"], user["former admin"]],
                    "members": [id, user["space member"]],
                },
                {"id": world.name("s2"), "admins": [user["other space's admin"]], "members": [user["stranger"]]},
                {"id": world.name("s3"), "admins": [user["admin and read supervisor"]], "members": [id]},
            ],
            "groups": [
                {
                    "id": world.name("g1"),
                    "members": [id, user["group member"]],
                    "supervisors": {
                        user["edit supervisor"]: "edit",
                        user["read supervisor"]: "read",
                        user["admin and read supervisor"]: "read",
                    },
                },
                {
                    "id": world.name("g2"),
                    "supervisors": {user["other group's supervisor"]: "edit"},
                    "members": [user["stranger"]],
                },
            ],
            "fields": [{"id": world.name("f"), "permissions": {user["field owner"]: "owner", id: "owner"}}],
        }
    roles = ("owner", "administration", "edit", "add", "read")
    other = "farms" if scope == "fields" else "fields"
    return {
        scope: [{"id": id, "permissions": {user[role]: role for role in roles} | {user["former owner"]: "owner"}}],
        other: [{"id": id, "permissions": {user["farm owner"]: "owner"}}],
        "spaces": [{"id": world.name("s"), "admins": [user["owner's admin"]], "members": [user["owner"]]}],
        "groups": [
            {"id": world.name("g"), "supervisors": {user["owner's supervisor"]: "edit"}, "members": [user["owner"]]}
        ],
    }


def narrowed(world: World, scope: str, id: str, user: dict[str, str]) -> dict[str, object]:
    """Return declarations that remove the permissions of earlier ones."""
    if scope == "users":
        return {"spaces": [{"id": world.name("s1"), "admins": [user["space admin"]]}]}
    roles = ("owner", "administration", "edit", "add", "read")
    return {scope: [{"id": id, "permissions": {user[role]: role for role in roles}}]}


async def outcome(client: Client, scope: str, id: str, operation: str) -> int:
    """Return the code of one operation on a resource with a list under the key `there` and nothing under `absent`."""
    match operation.split():
        case ["PUT"]:
            reply = await client.put(scope, id, "absent", [1])
        case ["PUT", _]:
            reply = await client.put(scope, id, "there", [2], overwrite=True)
        case ["PATCH"]:
            reply = await client.patch(scope, id, "there", [2])
        case ["PATCH", "creating"]:
            reply = await client.patch(scope, id, "absent", [2], create=True)
        case ["PATCH", _]:
            reply = await client.patch(scope, id, "there", 2, append=True)
        case ["GET"]:
            reply = await client.get(scope, [id], "there")
        case ["GET", *_]:
            reply = await client.get(scope, [id], "there", "absent")
        case _:
            reply = await client.delete(scope, id, "there")
    assert reply.status == 200
    return reply.code


@pytest.mark.parametrize("scope", MAY)
async def test_each_caller_has_the_permissions_of_the_vendors_page(world: World, scope: str) -> None:
    callers = list(MAY[scope])
    names = {caller: caller.replace(" ", "-").replace("'", "") for caller in callers}
    clients = dict(zip(callers, await world.open(*names.values()), strict=True))
    user = {caller: world.name(name) for caller, name in names.items()}
    id = user["self"] if scope == "users" else world.name("plot")
    await world.declare(**declared(world, scope, id, user))
    await world.declare(**narrowed(world, scope, id, user))
    owner = clients["self" if scope == "users" else "owner"]
    wrong = []
    for caller, operation in itertools.product(callers, OPERATIONS):
        assert (await owner.put(scope, id, "there", [1], overwrite=True)).code == 0
        assert (await owner.delete(scope, id, "absent")).code == 0
        expected = 0 if OPERATIONS[operation] in MAY[scope][caller] else 3
        found = await outcome(clients[caller], scope, id, operation)
        after = (await owner.get(scope, [id], "there", "absent")).objects
        if found != expected or (expected == 3 and after != {id: {"there": [1]}}):
            wrong.append((scope, caller, operation, expected, found, after))
    assert wrong == []
