"""Tests that a revoked permission has no effect from the moment at which the revocation is answered."""

import asyncio
from collections.abc import Callable

from aiohttp import ClientSession, TCPConnector

from tests.dialects.auravant.client import Client, World
from tests.running import Running

WRITES = 1000
CONNECTIONS = 12


async def test_no_write_is_carried_out_after_a_revoke_was_answered(serve: Callable[..., Running]) -> None:
    """While 1,000 writes are sent to two workers on several connections, a permission is revoked and granted again."""
    running = serve(workers=2)
    async with ClientSession(connector=TCPConnector(limit=CONNECTIONS)) as http, ClientSession() as admin:
        world = World(running, admin)
        field, editor, owner = world.name("f"), world.name("editor"), world.name("owner")
        both = {owner: "owner", editor: "edit"}
        clients = await world.open("owner", "editor", fields=[{"id": field, "permissions": both}])
        reader, writer = clients[0], Client(http, running, clients[1].token)
        codes: dict[int, int] = {}
        begun_after: set[int] = set()
        revoked, third = False, asyncio.Event()
        turns = iter(range(WRITES))

        async def write() -> None:
            for n in turns:
                if revoked:
                    begun_after.add(n)
                kind = n % 3
                if kind == 0:
                    reply = await writer.put("fields", field, f"k{n}", n)
                elif kind == 1:
                    reply = await writer.patch("fields", field, f"k{n}", [n], create=True, append=True)
                else:
                    reply = await writer.put("fields", field, f"k{n}", "x" * 40_000, overwrite=True)
                codes[n] = reply.code
                if len(codes) > WRITES // 3:
                    third.set()

        writing = [asyncio.create_task(write()) for _ in range(CONNECTIONS)]
        await third.wait()
        await world.declare(fields=[{"id": field, "permissions": {owner: "owner"}}])
        revoked = True
        landed = await stored(reader, field)
        await asyncio.gather(*writing)
        assert set(codes.values()) == {0, 3}
        assert len(begun_after) > WRITES // 10
        assert {codes[n] for n in begun_after} == {3}
        assert await stored(reader, field) == landed == {n for n, code in codes.items() if code == 0}
        await world.declare(fields=[{"id": field, "permissions": both}])
        assert (await writer.put("fields", field, "k0", 1, overwrite=True)).code == 0


async def stored(reader: Client, field: str) -> set[int]:
    """Return the numbers of the writes that were carried out."""
    found = (await reader.get("fields", [field], *(f"k{n}" for n in range(WRITES)))).objects
    return {int(key[1:]) for key in found.get(field, {})}


async def test_each_read_is_answered_by_the_permissions_of_its_time(world: World) -> None:
    field, reader_id = world.name("f"), world.name("reader")
    owner, reader = await world.open(
        "owner", "reader", fields=[{"id": field, "permissions": {world.name("owner"): "owner", reader_id: "read"}}]
    )
    await owner.put("fields", field, "k", 1)
    for permissions, code in (({world.name("owner"): "owner"}, 3), ({reader_id: "read"}, 0)):
        await world.declare(fields=[{"id": field, "permissions": permissions}])
        assert (await reader.get("fields", [field], "k")).code == code
        assert (await reader.get("fields", [], "k")).objects == ({field: {"k": 1}} if code == 0 else {})
