"""Tests that bad input gets the right code, stores nothing, and is never a 5xx, on the fast path and on aiohttp's."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.dialects.auravant.client import STORAGE, Client, Reply, World
from tests.running import Running

LONG = "k" * 201
KEYS = [
    "",
    " ",
    "a b",
    "a-b",
    "a.b",
    "é",
    "k\n",
    "\nk",
    "k\r",
    "k\u0000",
    "\u0661",
    "\uff41",
    "a/b",
    "a:b",
    "{a}",
    "%41",
    LONG,
]


@pytest.fixture
async def owner(world: World) -> Client:
    (client,) = await world.open("owner")
    await client.put("users", world.name("owner"), "there", [1])
    return client


async def unchanged(owner: Client, world: World, redis_keys: set[bytes]) -> None:
    assert keys_of(owner.running) == redis_keys
    assert (await owner.get("users", None, "there")).objects == {"there": [1]}


def keys_of(running: Running) -> set[bytes]:
    """Return the keys of all records, staged bodies and links."""
    with running.redis as client:
        found: list[bytes] = client.keys("*")
    return {key for key in found if b"}r:" in key or b"}s:" in key or b":links:" in key}


def writes(id: str) -> dict[str, tuple[str, dict[str, Any]]]:
    return {
        "PUT": ("PUT", {"id": id, "key": "new", "value": 1, "overwrite": True}),
        "PATCH": ("PATCH", {"id": id, "key": "new", "value": 1, "create": True}),
        "append": ("PATCH", {"id": id, "key": "new", "value": 1, "create": True, "append": True}),
        "DELETE": ("DELETE", {"id": id, "keys": ["there"]}),
        "GET": ("GET", {"ids": [id], "keys": ["there"]}),
    }


Spoil = Callable[[dict[str, Any]], object]

BAD: dict[str, tuple[Spoil, int]] = {
    # A missing member: code 1.
    "no id": (lambda b: b.pop("id", None) or b.pop("keys"), 1),
    "no key": (lambda b: b.pop("key", None) or b.pop("keys", None), 1),
    "an empty id": (lambda b: b.update(id="") if "id" in b else b.update(keys=[]), 1),
    "null for a key": (lambda b: b.update(key=None) if "key" in b else b.update(keys=None), 1),
    "no value": (lambda b: b.pop("value") if "value" in b else b.update(keys=[]), 1),
    # A wrong type: code -4.
    "an object for a key": (lambda b: b.update(key={}) if "key" in b else b.update(keys=[{}]), -4),
    "a number for a key": (lambda b: b.update(key=1) if "key" in b else b.update(keys=[1]), -4),
    "a text for keys": (lambda b: b.update(key=["k"]) if "key" in b else b.update(keys="k"), -4),
    "null among keys": (lambda b: b.update(key=[None]) if "key" in b else b.update(keys=["k", None]), -4),
    "an object for an id": (lambda b: b.update(id={}) if "id" in b else b.update(ids=[{}]), -4),
    "a fraction for an id": (lambda b: b.update(id=1.5) if "id" in b else b.update(ids=[1.5]), -4),
    "true for an id": (lambda b: b.update(id=True) if "id" in b else b.update(ids=[True]), -4),
    "a list for an id": (lambda b: b.update(id=["a"]) if "id" in b else b.update(ids="a"), -4),
    "a text for overwrite": (lambda b: b.update(overwrite="yes"), -4),
    "a number for append": (lambda b: b.update(append=2), -4),
    "a list for create": (lambda b: b.update(create=[]), -4),
}


@pytest.mark.parametrize("how", BAD)
async def test_a_bad_body_has_its_code_and_stores_nothing(owner: Client, world: World, how: str) -> None:
    spoil, code = BAD[how]
    before = keys_of(owner.running)
    for operation, body in writes(world.name("owner")).values():
        spoil(body)
        reply = await owner.storage("users", operation, body)
        assert (reply.code, reply.status) == (code, 200 if code > 0 else 400), (operation, body, reply.body)
    await unchanged(owner, world, before)


NOT_JSON = [
    b"",
    b" ",
    b"nonsense",
    b"[]",
    b'"text"',
    b"1",
    b"null",
    b"{",
    b'{"id":"a"',
    b'{"id":"a"}x',
    b"{'id':'a'}",
    b"{}{}",
    b'\xef\xbb\xbf{"keys":["k"]}',
    b'{"keys":["\xff"]}',
    b'{"keys":["k"],"x":"\xff"}',
    b'{"keys":["\\ud800"]}',
    b'{"keys":["k"],"x":01}',
    b'{"keys":["k"],"x":NaN}',
    b'{"keys":["k"],"x":"\n"}',
    b'{"value":"\\ud800"}',
    b'{"value":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"x":' + b'{"a":' * 100_000,
    b'{"id":' + b"9" * 5000 + b"}",
]


@pytest.mark.parametrize("operation", ["PUT", "PATCH", "GET", "DELETE"])
async def test_a_body_that_is_not_a_json_object_is_refused(owner: Client, world: World, operation: str) -> None:
    before = keys_of(owner.running)
    for body in NOT_JSON:
        reply = await owner.storage("users", operation, body)
        assert (reply.code, reply.status) == (-4, 400), body[:40]
    await unchanged(owner, world, before)


@pytest.mark.parametrize("key", KEYS, ids=ascii)
async def test_a_key_has_only_ascii_letters_digits_and_underscores(owner: Client, world: World, key: str) -> None:
    before, code = keys_of(owner.running), 2 if key else 1
    for operation, body in writes(world.name("owner")).values():
        if "keys" in body:
            body["keys"] = ["there", key]
            code = 2
        else:
            body["key"] = key
        reply = await owner.storage("users", operation, body)
        assert (reply.code, reply.status) == (code, 200), (operation, reply.body)
    await unchanged(owner, world, before)


SAID: dict[str, tuple[str, bytes, str]] = {
    "nothing": ("PUT", b"", "the body is empty"),
    "white space": ("GET", b" \n", "the body is empty"),
    "no id and no value": ("PUT", b'{"key":"k","value":null}', "the body lacks `id` and `value`"),
    "no keys": ("GET", b'{"keys":[]}', "the body lacks `keys`"),
    "no id": ("DELETE", b'{"id":"","keys":["k"]}', "the body lacks `id`"),
    "a list for an id": ("PUT", b'{"id":[1]}', "`id` must be a string or an integer, not an array"),
    "a number among keys": ("GET", b'{"keys":["k",1]}', "`keys[1]` must be a string, not an integer"),
    "no flag": ("PUT", b'{"overwrite":"yes"}', "`overwrite` must be true or false, not a string"),
    "a long key": ("GET", b'{"keys":["%b"]}' % (b"k" * 201), "a key must have at most 200 characters, not 201"),
    "a bad key": ("GET", b'{"keys":["k-k"]}', "a key may have only the letters a-z and A-Z, digits and underscores"),
    "many keys": ("GET", json.dumps({"keys": ["k"] * 1001}).encode(), "at most 1000 keys in one request, not 1001"),
    "no operation": ("MOVE", b"{}", "`operation` must be one of GET, PUT, PATCH, DELETE, not 'MOVE'"),
    "an unknown user": ("GET", b'{"ids":["none"],"keys":["k"]}', "no such user none"),
    "an unknown user to write at": ("PUT", b'{"id":"none","key":"k","value":1}', "no such user none"),
    "an id that is too long": (
        "PUT",
        json.dumps({"id": "i" * 201, "key": "k", "value": 1}).encode(),
        "no such user: an id has 1 to 200 characters",
    ),
}


@pytest.mark.parametrize("case", SAID)
async def test_a_refusal_tells_what_was_wrong_and_where(owner: Client, case: str) -> None:
    operation, body, said = SAID[case]
    reply = await owner.storage("users", operation, body)
    assert reply.code != 0
    assert reply.json["msg"] == said


async def test_a_refusal_tells_who_lacks_which_permission(owner: Client, world: World) -> None:
    await world.declare(users=["UID-other"], fields=[{"id": world.name("f"), "permissions": {"UID-other": "owner"}}])
    id = world.name("owner")
    for reply, said in (
        (await owner.put("fields", world.name("f"), "k", 1), f"{id} may not write to field {world.name('f')}"),
        (await owner.get("users", ["UID-other"], "k"), f"{id} may not read user UID-other"),
        (await owner.delete("users", "UID-other", "k"), f"{id} may not delete from user UID-other"),
    ):
        assert (reply.code, reply.json["msg"]) == (3, said)


@pytest.mark.parametrize(
    ("flag", "counts"),
    [(None, False), ("true", True), ("True", True), ("false", False), ("1", True), ("0", False), (1, True), (0, False)],
)
async def test_a_flag_may_be_null_a_string_or_a_number(owner: Client, world: World, flag: object, counts: bool) -> None:
    id = world.name("owner")
    assert (await owner.put("users", id, "there", [2], overwrite=flag)).code == (0 if counts else 5)
    assert (await owner.put("users", id, "there", [1], overwrite=True)).code == 0
    assert (await owner.patch("users", id, "there", 2, append=flag)).code == 0
    assert (await owner.get("users", None, "there")).objects == {"there": [1, 2] if counts else 2}
    assert (await owner.patch("users", id, "new", 1, create=flag)).code == (0 if counts else 5)


async def test_the_longest_key_is_accepted(owner: Client, world: World) -> None:
    key = LONG[:200]
    assert (await owner.put("users", world.name("owner"), key, 1)).code == 0
    assert (await owner.get("users", None, key)).objects == {key: 1}


@pytest.mark.parametrize(
    "query", ["", "?operation=", "?operation=PU", "?operation=DROP", "?Operation=PUT", "?operation=%FF"]
)
async def test_an_unknown_operation_is_refused(owner: Client, query: str) -> None:
    for _ in range(2):
        reply = await owner.ask("POST", f"{STORAGE}/users{query}", b'{"keys":["k"]}')
        assert (reply.code, reply.status) == (-4, 400)


PATHS = [
    ("GET", f"{STORAGE}/users", 405),
    ("PUT", f"{STORAGE}/users", 405),
    ("DELETE", f"{STORAGE}/fields", 405),
    ("POST", STORAGE, 404),
    ("POST", f"{STORAGE}/plots", 404),
    ("POST", f"{STORAGE}/users/x", 404),
    ("GET", "/api/mktplace/nothing", 404),
    ("GET", "/publicvalues/space", 404),
    ("POST", "/publicvalues/user", 405),
    ("GET", "/publicfiles/nothing", 404),
]


@pytest.mark.parametrize(("method", "path", "status"), PATHS)
async def test_unknown_paths_and_methods_are_refused_in_the_envelope(
    owner: Client, method: str, path: str, status: int
) -> None:
    reply = await owner.ask(method, path)
    assert (reply.code, reply.status) == (-4, status)
    assert ("Allow" in reply.headers) == (status == 405)


TOKENS = {"none": -3, "at-expired": -2, "at-unclaimed": -1, "at-undeclared": -1, "at-owner-old": 4, "at-owner": 0}


@pytest.mark.parametrize("token", TOKENS)
async def test_each_invalid_token_has_its_code(owner: Client, service: Running, token: str) -> None:
    client, code = Client(owner.http, service, token), TOKENS[token]
    status = {-3: 401, -2: 401, -1: 403}.get(code, 200)
    for _ in range(2):
        for operation, body in writes("UID-owner").values():
            body |= {"keys": ["never"]} if "keys" in body else {"value": [1]}
            reply = await client.storage("users", operation, body)
            assert (reply.code, reply.status) == (code, status), (operation, reply.body)
        for level in ("user", "field", "farm"):
            reply = await client.shared(level, key="k", fields=12345, farms=777)
            assert reply.status == status
            assert code == 0 or reply.code == code
    await Client(owner.http, service, "at-owner").delete("users", "UID-owner", "new")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic eDp5", "at-owner", "Bearer at-owner x", "Bearer é"])
async def test_a_missing_token_has_code_minus_three(owner: Client, header: str) -> None:
    reply = await owner.ask("POST", f"{STORAGE}/users?operation=GET", b"{}", Authorization=header)
    assert (reply.code, reply.status) == (-3, 401)
    assert reply.headers["WWW-Authenticate"] == "Bearer"


async def test_checks_are_made_in_the_order_of_the_vendors_page(service: Running, owner: Client) -> None:
    """The order is: 1 (missing member), 2 (key), 4 (version), 5 (unknown id), 3 (permission)."""
    old, stranger = Client(owner.http, service, "at-owner-old"), Client(owner.http, service, "at-stranger")
    body: dict[str, Any] = {"ids": ["none", "UID-owner"]}
    assert (await old.storage("users", "GET", body)).code == 1
    assert (await old.storage("users", "GET", body | {"keys": ["k-k"]})).code == 2
    assert (await old.storage("users", "GET", body | {"keys": ["k"]})).code == 4
    assert (await stranger.storage("users", "GET", body | {"keys": ["k"]})).code == 5
    assert (await stranger.storage("users", "GET", {"ids": ["UID-owner"], "keys": ["k"]})).code == 3
    assert (await old.put("users", "none", "k-k", None)).code == 1
    assert (await old.put("users", "none", "k-k", 1)).code == 2
    assert (await old.put("users", "none", "k", 1)).code == 4
    assert (await stranger.put("users", "none", "k", 1)).code == 3


@pytest.mark.parametrize("name", ["get", "Get", "GET"])
async def test_an_operation_is_accepted_in_any_case(owner: Client, name: str) -> None:
    reply = await owner.ask("POST", f"{STORAGE}/users/?operation={name}", b'{"keys":["there"]}')
    assert reply.objects == {"there": [1]}


async def test_an_unknown_id_counts_before_forbidden_ones_at_any_place(owner: Client, world: World) -> None:
    """There are more ids than in one portion, and the unknown one is before or after the forbidden ones."""
    hidden = [world.name(f"hidden-{n}") for n in range(600)]
    await world.declare(fields=[{"id": id, "permissions": {"UID-owner": "owner"}} for id in hidden])
    assert (await owner.get("fields", hidden, "k")).code == 3
    for ids in ([*hidden, "none"], ["none", *hidden]):
        assert (await owner.get("fields", ids, "k")).code == 5


async def test_requests_above_a_limit_are_413(owner: Client, world: World) -> None:
    id = world.name("owner")

    async def refused(reply: Reply) -> None:
        assert (reply.code, reply.status) == (-4, 413)

    await refused(await owner.put("users", id, "new", "x" * (10 * 1024 * 1024)))
    await refused(await owner.get("users", [f"u{n}" for n in range(201)], *(f"k{n}" for n in range(100))))
    await refused(await owner.get("users", [id], *(f"k{n}" for n in range(1001))))
    await refused(await owner.delete("users", id, *(f"k{n}" for n in range(1001))))
    await refused(await owner.shared("field", key="k", fields=",".join(map(str, range(10_001)))))
    assert (await owner.get("users", [id], *(f"k{n}" for n in range(1000)))).objects == {}
    nearly = json.dumps(["x" * (10 * 1024 * 1024 - 200)]).encode()
    assert (await owner.storage("users", "PUT", b'{"id":"%b","key":"n","value":%b}' % (id.encode(), nearly))).code == 0
    await refused(await owner.patch("users", id, "n", "x" * 1000, append=True))


async def test_ids_cannot_forge_keys_of_redis(world: World) -> None:
    """Ids with braces, colons and percent signs are different ids."""
    nasty = ["{a}", "a:b", "a%3Ab", "}r:x{", "*", "a b", "\u0000", "é", "a/b", "'", "a\nb"]
    fields = [{"id": world.name(id), "permissions": {world.name("owner"): "owner"}} for id in nasty]
    (owner,) = await world.open("owner", fields=fields)
    for id in nasty:
        assert (await owner.put("fields", world.name(id), "k", id)).code == 0
    found = (await owner.get("fields", [world.name(id) for id in nasty], "k")).objects
    assert found == {world.name(id): {"k": id} for id in nasty}
    assert (await owner.get("users", ["*"], "k")).code == 5


async def test_more_values_than_a_request_may_name_are_refused_however_long_the_list(world: World) -> None:
    """Short lists are decoded in the event loop, long ones in a thread. A repeated id counts once."""
    (owner,) = await world.open("owner")
    id = world.name("owner")
    for count in (20_001, 300_000):
        body = {"keys": ["k"], "ids": [*range(count)]}
        assert (await owner.storage("users", "GET", body)).status == 413
        assert (await owner.storage("users", "GET", {"keys": ["k"], "ids": [id] * count})).objects == {}
    assert (await owner.storage("users", "GET", {"keys": ["k"] * 1001, "ids": [id]})).status == 413
    assert (await owner.storage("users", "GET", {"keys": [], "ids": [*range(300_000)]})).status != 413


async def test_a_form_with_too_many_fields_is_refused_with_a_message(world: World) -> None:
    (owner,) = await world.open("owner")
    type = "application/x-www-form-urlencoded"
    reply = await owner.ask("POST", f"{STORAGE}/users?operation=PUT", b"a=1&" * 100, Content_Type=type)
    assert reply.status == 400
    assert "the form must have at most 100 fields" in reply.json["msg"]
