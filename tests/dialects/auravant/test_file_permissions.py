"""Tests the permissions for files of every caller for every scope and operation; they are those for values."""

import itertools

import pytest

from tests.dialects.auravant.client import World
from tests.dialects.auravant.files import Files
from tests.dialects.auravant.test_permissions import MAY, D, R, W, declared, narrowed

OPERATIONS = {
    "PUT": W,
    "PUT overwriting": W,
    "PATCH": W,
    "PATCH creating": W,
    "GET": R,
    "DELETE": D,
    "DELETE of nothing": D,
}


async def outcome(files: Files, scope: str, id: str, operation: str) -> int:
    """Return the code of one operation on a resource that has a file under the key `there`, and none under `absent`."""
    match operation.split():
        case ["PUT"]:
            reply = await files.announce(scope, id, "absent")
        case ["PUT", _]:
            reply = await files.announce(scope, id, "there", overwrite=True)
        case ["PATCH"]:
            reply = await files.announce(scope, id, "there", operation="PATCH")
        case ["PATCH", _]:
            reply = await files.announce(scope, id, "absent", operation="PATCH", create=True)
        case ["GET"]:
            reply = await files.ask(scope, "GET", {"ids": [id], "keys": ["there"], "get_url": True})
        case ["DELETE"]:
            reply = await files.ask(scope, "DELETE", {"id": id, "keys": ["there"]})
        case _:
            reply = await files.ask(scope, "DELETE", {"id": id, "keys": ["absent"]})
    assert reply.status == 200
    code: int = reply.json["code"]
    return code


async def opened(world: World, scope: str) -> tuple[dict[str, Files], Files, str]:
    """Declare a resource, and return the clients of all its callers, that of its owner, and its id."""
    names = {caller: caller.replace(" ", "-").replace("'", "") for caller in MAY[scope]}
    clients = await world.open(*names.values())
    files = {caller: Files(client, world.http) for caller, client in zip(names, clients, strict=True)}
    user = {caller: world.name(name) for caller, name in names.items()}
    id = user["self"] if scope == "users" else world.name("plot")
    await world.declare(**declared(world, scope, id, user))
    await world.declare(**narrowed(world, scope, id, user))
    return files, files["self" if scope == "users" else "owner"], id


@pytest.mark.parametrize("scope", MAY)
async def test_each_caller_has_the_permissions_of_the_vendors_page_for_files(world: World, scope: str) -> None:
    clients, owner, id = await opened(world, scope)
    await owner.store(scope, id, "there")
    wrong = []
    for caller, operation in itertools.product(clients, OPERATIONS):
        expected = 0 if OPERATIONS[operation] in MAY[scope][caller] else 3
        found = await outcome(clients[caller], scope, id, operation)
        listed = (await owner.get(scope, [id], "there", "absent")).get(id, {})
        unchanged = list(listed) == ["there"] and "url" in listed["there"]
        if found != expected or (expected == 3 and not unchanged):
            wrong.append((scope, caller, operation, expected, found, listed))
        if not unchanged:
            await owner.delete(scope, id, "absent")
            await owner.store(scope, id, "there", overwrite=True)
    assert wrong == []


@pytest.mark.parametrize("scope", MAY)
async def test_delete_without_an_id_leaves_out_resources_where_the_caller_may_not_delete(
    world: World, scope: str
) -> None:
    """Resources where the caller may not delete are answered as if they had no file. The other files are deleted."""
    clients, owner, id = await opened(world, scope)
    for caller in clients:
        await owner.store(scope, id, "there", overwrite=True)
        expected = ["there"] if D in MAY[scope][caller] else []
        assert await clients[caller].delete(scope, None, "there") == expected, caller
        assert (await owner.content(scope, id, "there") is None) == bool(expected), caller
