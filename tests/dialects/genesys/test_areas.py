"""Tests storage areas over HTTP: lifetimes, custom ids, owners, and names of any kind."""

import asyncio
import re
from time import monotonic
from uuid import uuid4

import pytest
from aiohttp import ClientSession

from tests.dialects.genesys.client import FORM, Client, at
from tests.running import Running, soon, while_it_lives

ODD = ["a b", "ä/日\U0001f600", "%", "{}:*", "..", "é" * 256, "'\"<>&", "\x7f"]


def left(running: Running, id: str, user: str = "") -> int:
    """Return the remaining lifetime of an area in ms, read directly from Redis."""
    with running.redis as client:
        keys = client.keys(f"{{genesys:{user}:{id}}}f:")
        assert len(keys) == 1
        (key,) = keys
        return int(client.pttl(key))


@pytest.mark.parametrize(
    "ttl", ["0", "-1", "abc", "1.5", "+60", "%20", "9" * 17, "9" * 40, "%D9%A3", "0x10", "315360001"]
)
async def test_an_invalid_ttl_counts_as_thirty_seconds(gms: Client, ttl: str) -> None:
    begun = monotonic()
    reply = await gms.ask("POST", f"{at()}/{ttl}", b"a=1", Content_Type=FORM)
    assert reply.status == 200
    lives = left(gms.running, reply.json["id"])
    assert 30_000 - 1000 * (monotonic() - begun) - 2 <= lives <= 30_000


@pytest.mark.parametrize("ttl", [1, 60, 3600, 315_360_000])
async def test_a_ttl_is_in_seconds(gms: Client, ttl: int) -> None:
    async def lives(seconds: float) -> None:
        begun = monotonic()
        found = left(gms.running, await gms.create(("a", "1"), ttl=round(seconds)))
        assert 1000 * (round(seconds) - monotonic() + begun) - 2 <= found <= round(seconds) * 1000

    await while_it_lives(ttl, lives)


async def test_each_key_expires_by_itself_and_nothing_remains(gms: Client) -> None:
    async def lives(seconds: float) -> str:
        id = await gms.create(("short", "1"), ("both", "1"), ttl=round(seconds))
        assert (await gms.post(id, "600", fields=(("long", "2"), ("both", "2")))).json == {}
        assert await gms.all(id) == {"short": "1", "both": "2", "long": "2"} | {"both": "2"}
        return id

    id = await while_it_lives(1, lives)

    async def ended() -> bool:
        return (await gms.get(id, "short")).status == 404

    await soon(ended)
    assert await gms.all(id) == {"long": "2", "both": "2"}
    (await gms.get(id, "short")).refused(404)
    gone = await gms.create(("a", "1"), ("f", ("f", "", b"x" * 300_000)), ttl=1)
    await asyncio.sleep(1.1)
    for reply in (await gms.get(gone), await gms.get(gone, "a"), await gms.get("binary", gone, "f")):
        reply.refused(404)
    (await gms.post(gone, "60")).refused(404)
    (await gms.ask("DELETE", at(gone))).refused(404)


@pytest.mark.parametrize("name", ODD)
async def test_a_custom_id_and_a_key_may_have_any_character(service: Running, http: ClientSession, name: str) -> None:
    mine = Client(http, service, "user " + uuid4().hex)
    body = ("-".join(["", *(f"%{byte:02X}" for byte in name.encode())])[1:].replace("-", "") + "=1").encode()
    assert (await mine.ask("POST", at("custom", name, "60"), body, Content_Type=FORM)).json == {"id": name}
    assert await mine.all(name) == {name: "1"}
    assert (await mine.get(name, name)).body == b"1"
    assert (await mine.ask("DELETE", at(name))).json == {}
    (await mine.get(name)).refused(404)


async def test_an_id_that_is_too_long_or_empty_is_refused(service: Running, http: ClientSession) -> None:
    mine = Client(http, service, uuid4().hex)
    for id, status in (("x" * 257, 400), ("é" * 300, 400), ("", 404)):  # `//` is `/`: no route /custom/60
        (await mine.post("custom", id, "60")).refused(status)
        (await mine.get(id)).refused(404)
    (await Client(http, service, "u" * 257).post("custom", "a", "60")).refused(400)
    (await gms_without(http, service).get("x" * 5000)).refused(404)


def gms_without(http: ClientSession, service: Running) -> Client:
    return Client(http, service)


async def test_an_area_is_visible_to_its_user_only(service: Running, http: ClientSession) -> None:
    nobody, id = Client(http, service), "shared " + uuid4().hex
    users = [Client(http, service, f"user:{n}{uuid4().hex}") for n in range(2)]
    for n, user in enumerate(users):
        assert (await user.post("custom", id, "60", fields=(("a", str(n)),))).status == 200
    for n, user in enumerate(users):
        assert await user.all(id) == {"a": str(n)}
    stranger = Client(http, service, "someone else")
    for who in (nobody, stranger):
        for reply in (
            await who.get(id),
            await who.get(id, "a"),
            await who.get("binary", id, "a"),
            await who.post(id, "60"),
            await who.ask("DELETE", at(id)),
        ):
            reply.refused(404)
    assert (await users[0].ask("DELETE", at(id))).status == 200
    assert await users[1].all(id) == {"a": "1"}


async def test_the_area_of_the_user_counts_before_the_plain_one(service: Running, http: ClientSession) -> None:
    nobody, user = Client(http, service), Client(http, service, uuid4().hex)
    id = await nobody.create(("a", "plain"))
    assert await user.all(id) == {"a": "plain"}
    assert (await user.post("custom", id, "60", fields=(("a", "own"),))).status == 200
    assert (await user.all(id), (await user.get(id, "a")).body) == ({"a": "own"}, b"own")
    await user.post(id, "60", fields=(("b", "own"),))
    assert await nobody.all(id) == {"a": "plain"}
    assert (await user.ask("DELETE", at(id))).status == 200
    assert await user.all(id) == {"a": "plain"}
    assert (await user.ask("DELETE", at(id))).status == 200
    (await nobody.get(id)).refused(404)


async def test_creating_a_custom_area_again_replaces_it(service: Running, http: ClientSession) -> None:
    user = Client(http, service, uuid4().hex)
    for fields in ((("a", "1"), ("b", "2")), (("b", "3"),), ()):
        assert (await user.post("custom", "id", "60", fields=fields)).status == 200
        assert await user.all("id") == dict(fields)


async def test_a_generated_id_is_a_uuid_and_never_given_twice(gms: Client) -> None:
    ids = {await gms.create() for _ in range(20)}
    assert len(ids) == 20
    assert all(re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", id) for id in ids)


async def test_many_and_long_texts_come_back_in_order(gms: Client) -> None:
    fields = [(f"k{n}", f'{n} "é\U0001f600\n\\' * (1 + n * 40)) for n in range(200)]
    fields.append(("long", "é\U0001f600" * 400_000))
    id = await gms.create(*fields)
    found = await gms.all(id)
    assert list(found.items()) == fields
    for key in ("k1", "k199", "long"):
        reply = await gms.get(id, key)
        assert (reply.body.decode(), reply.headers["Content-Type"]) == (found[key], "text/plain; charset=utf-8")
        assert int(reply.headers["Content-Length"]) == len(reply.body)
