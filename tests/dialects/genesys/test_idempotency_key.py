"""Tests that a write with an `Idempotency-Key` creates, updates or removes an area once, also with another boundary."""

import asyncio
import json
from collections.abc import Callable
from uuid import NAMESPACE_DNS, NAMESPACE_OID, NAMESPACE_URL, NAMESPACE_X500, UUID, uuid5

import pytest
from aiohttp import ClientSession

from service.storage.access.passwords import ANYONE
from service.storage.keys import SECRET
from service.storage.scripts.identity import Idempotency
from tests.dialects.genesys.client import Client, Reply, at
from tests.running import Running

BIG = "x" * 300_000


async def ask(gms: Client, *names: str, value: str = "1", boundary: str = "b0", key: str) -> Reply:
    body = f'--{boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\n{value}\r\n--{boundary}--\r\n'.encode()
    type = f"multipart/form-data; boundary={boundary}"
    return await gms.ask("POST", at(*names), body, Content_Type=type, Idempotency_Key=key)


@pytest.mark.parametrize("value", ["1", BIG], ids=["short", "in chunks"])
async def test_retries_of_a_create_make_only_one_area(gms: Client, value: str) -> None:
    """Each retry has another boundary, as with real clients."""
    key = f"create-{id(gms)}-{len(value)}"
    replies = await asyncio.gather(
        *(ask(gms, "600", value=value, boundary=f"boundary-{n}", key=key) for n in range(16))
    )
    assert {(reply.status, reply.body) for reply in replies} == {(200, replies[0].body)}
    made = replies[0].json["id"]
    assert (await gms.all(made))["a"] == value
    assert (await ask(gms, "600", value="2", key=key)).status == 422
    assert (await gms.all(made))["a"] == value


async def test_retries_of_an_update_and_a_delete_change_nothing(gms: Client) -> None:
    made = await gms.create(("a", "0"))
    assert (await ask(gms, made, "600", value="1", key="update")).status == 200
    await ask(gms, made, "600", value="later", key="another")
    assert (await ask(gms, made, "600", value="1", boundary="b1", key="update")).status == 200
    assert (await gms.all(made))["a"] == "later"
    first = await gms.ask("DELETE", at(made), Idempotency_Key="delete")
    assert first.status == 200
    again = await gms.ask("DELETE", at(made), Idempotency_Key="delete")
    assert (again.status, again.body) == (200, first.body)
    assert (await gms.get(made)).status == 404


@pytest.mark.parametrize("value", ["1", BIG], ids=["short", "in chunks"])
async def test_a_repeated_update_is_answered_after_its_area_was_removed(gms: Client, value: str) -> None:
    made = await gms.create(("a", "0"))
    first = await ask(gms, made, "600", value=value, key="update")
    assert first.status == 200
    assert (await gms.ask("DELETE", at(made))).status == 200
    again = await ask(gms, made, "600", value=value, boundary="b1", key="update")
    assert (again.status, again.body) == (200, first.body)
    assert (await ask(gms, made, "600", value="2", key="update")).status == 422
    assert (await ask(gms, made, "600", value=value, key="another")).status == 404
    assert (await gms.get(made)).status == 404


async def test_callers_without_credentials_share_their_idempotency_keys(gms: Client, service: Running) -> None:
    """Two callers without credentials cannot be distinguished, so both get the same answer."""
    first = await ask(gms, "600", key="shared")
    async with ClientSession(headers={"User-Agent": "another"}) as http:
        again = await ask(Client(http, service), "600", key="shared")
    assert (again.status, again.body) == (200, first.body)


@pytest.mark.parametrize("key", ["", "a b", "x" * 256])
async def test_a_malformed_key_is_refused(gms: Client, key: str) -> None:
    assert (await ask(gms, "600", key=key)).status == 400


async def test_the_id_of_an_area_cannot_be_computed_without_the_secret(gms: Client, service: Running) -> None:
    """The request and its key are not enough to calculate the id of the area."""
    key = f"guess-{id(gms)}"
    made = (await ask(gms, "600", key=key)).json["id"]
    idempotency = Idempotency(who=(key, ANYONE.id, json.dumps(ANYONE.claims)), what=("POST", at("600")), how=("",))
    guesses = {str(UUID(idempotency.id(secret))) for secret in (b"", b"\0" * 32, b"polystow:secret", b"polystow")}
    for namespace in (NAMESPACE_DNS, NAMESPACE_URL, NAMESPACE_OID, NAMESPACE_X500, UUID(int=0)):
        guesses |= {str(uuid5(namespace, name)) for name in (key, idempotency.digest, idempotency.digest + at("600"))}
    assert made not in guesses
    with service.redis as client:
        secret = client.get(SECRET)
    assert isinstance(secret, bytes)
    assert len(secret) == 32
    assert str(UUID(idempotency.id(secret))) == made  # with the secret, the same calculation gives the id


async def test_a_retry_at_another_service_gives_the_same_id(serve: Callable[..., Running]) -> None:
    """Two services on one Redis stand for workers on two machines."""
    first = serve()
    second = serve(redis_url=f"unix://{first.data_dir}/redis.sock")
    async with ClientSession() as http:
        replies = [await ask(Client(http, running), "600", key="both") for running in (first, second, first)]
    assert {(reply.status, reply.body) for reply in replies} == {(200, replies[0].body)}
