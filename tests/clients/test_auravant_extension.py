"""Tests an Auravant extension that stores its state at its user, as `storage.user.put` and `.get` do."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientSession

from tests.clients.calls import PublicClient, Published
from tests.dialects.auravant.client import World
from tests.running import Running


class Extension(PublicClient):
    """The calls of a page in a browser: each is one POST with the operation in the query."""

    published = Published(
        name="Auravant extension",
        source="the fetch calls of the vendor's page, behind its SDK's storage module",
        dialect="auravant",
        headers={"Accept": "*/*", "Origin": "https://extension.example", "Content-Type": "application/json"},
        calls={
            "storage.user": "POST /api/mktplace/storage/users",
            "storage.field": "POST /api/mktplace/storage/fields",
            "storage.farm": "POST /api/mktplace/storage/farms",
            "public values": "GET /publicvalues/user",
        },
    )

    async def storage(self, scope: str, operation: str, body: Mapping[str, object]) -> Any:
        """Send one operation. Return the content of `info` in the answer."""
        answer = await self.call(scope, query={"operation": operation}, body=json.dumps(body).encode())
        assert answer.status == 200, answer.body
        return answer.json["info"]


async def test_an_extension_keeps_its_state(service: Running, http: ClientSession) -> None:
    world = World(service, http)
    field, farm = world.name("field"), world.name("farm")
    owned = {world.name("grower"): "owner"}
    (grower,) = await world.open(
        "grower", fields=[{"id": field, "permissions": owned}], farms=[{"id": farm, "permissions": owned}]
    )
    extension = Extension(http, service.url, Authorization=f"Bearer {grower.token}")
    user = world.name("grower")

    # The first start: nothing is stored yet, which is not an error.
    found = await extension.storage("storage.user", "GET", {"ids": [user], "keys": ["state"]})
    assert (found["code"], found["objects"]) == (0, {})

    state = {"step": 1, "layers": ["ndvi"], "area": 12.50}
    put = {"id": user, "key": "state", "data": state}
    assert (await extension.storage("storage.user", "PUT", put))["code"] == 0
    assert (await extension.storage("storage.user", "PUT", put))["code"] == 5  # without overwrite
    state["step"] = 2
    assert (await extension.storage("storage.user", "PUT", put | {"overwrite": True}))["code"] == 0
    more = {"id": user, "key": "state", "data": {"seen": True}, "append": True}
    assert (await extension.storage("storage.user", "PATCH", more))["code"] == 0

    # The next start, of another page with the same token.
    again = Extension(http, service.url, Authorization=f"Bearer {grower.token}")
    found = await again.storage("storage.user", "GET", {"ids": [user], "keys": ["state", "none"]})
    assert found["objects"] == {user: {"state": state | {"seen": True}}}

    for scope, id in (("storage.field", field), ("storage.farm", farm)):
        assert (await extension.storage(scope, "PUT", {"id": id, "key": "soil", "data": {"ph": 6.5}}))["code"] == 0
        found = await extension.storage(scope, "GET", {"ids": [], "keys": ["soil"]})
        assert found["objects"] == {id: {"soil": {"ph": 6.5}}}

    shared = {"id": user, "key": "public_ext_name", "data": {"name": "Ada"}}
    assert (await extension.storage("storage.user", "PUT", shared))["code"] == 0
    answer = await extension.call("public values", query={"key": "name", "users": user})
    assert answer.json == [{"user": user, "value": {"name": "Ada"}}]

    gone = {"id": user, "keys": ["state", "public_ext_name"]}
    assert (await extension.storage("storage.user", "DELETE", gone))["code"] == 0
    found = await extension.storage("storage.user", "GET", {"ids": [user], "keys": ["state"]})
    assert found["objects"] == {}
    assert extension.made == set(extension.published.calls)
