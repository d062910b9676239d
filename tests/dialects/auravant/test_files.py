"""Tests that files are initiated, uploaded, listed, downloaded, replaced, deleted and shared, byte for byte."""

import os
from collections.abc import Callable
from hashlib import md5

import pytest
from aiohttp import ClientSession

from tests.dialects.auravant.client import World
from tests.dialects.auravant.files import FILES, Files, digest, staying
from tests.running import Running

MOST = 10_485_760
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


async def opened(world: World, *more: str) -> tuple[Files, str]:
    """Declare a new field; return its owner's client and its id. `more` users may read it."""
    field = world.name("field")
    permissions = {world.name("owner"): "owner"} | {world.name(user): "read" for user in more}
    clients = await world.open("owner", *more, fields=[{"id": field, "permissions": permissions}])
    return Files(clients[0], world.http), field


@pytest.mark.parametrize("size", [0, 1, 262_145, MOST])
async def test_a_file_of_any_size_comes_back_byte_for_byte(world: World, size: int) -> None:
    files, field = await opened(world)
    content = os.urandom(size)
    await files.store("fields", field, "k", content)
    listed = (await files.get("fields", [field], "k"))[field]["k"]
    assert listed["file_size_kb"] == size / 1024
    reply = await files.download(listed["url"])
    assert (reply.status, reply.body) == (200, content)
    assert reply.headers["Content-Type"] == "application/pdf"
    assert reply.headers["Content-Disposition"] == f'attachment; filename="{listed["file_name"]}"'
    assert reply.headers["ETag"] == f'"{md5(content).hexdigest()}"'
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'; sandbox;")


async def test_one_byte_more_than_10_mb_is_code_7(world: World) -> None:
    files, field = await opened(world)
    for operation, create in (("PUT", False), ("PATCH", True)):
        reply = await files.announce(
            "fields", field, "k", operation=operation, file_size_kb=(MOST + 1) / 1024, create=create
        )
        assert (reply.status, reply.code) == (200, 7)
    assert await files.get("fields", [field], "k") == {}
    large = bytes(MOST + 1)
    data = await files.announced("fields", field, "k", large, file_size_kb=MOST / 1024)
    reply = await files.upload(data, large)
    assert (reply.status, reply.code) == (413, -4)
    assert await files.content("fields", field, "k") is None


async def test_a_download_supports_ranges_and_conditions(world: World) -> None:
    files, field = await opened(world)
    content = os.urandom(600_000)
    await files.store("fields", field, "k", content)
    url = (await files.get("fields", [field], "k"))[field]["k"]["url"]
    reply = await files.download(url, Range="bytes=262140-262150")
    assert (reply.status, reply.body) == (206, content[262_140:262_151])
    assert reply.headers["Content-Range"] == "bytes 262140-262150/600000"
    assert (await files.download(url, Range="bytes=600000-")).status == 416
    head = await files.download(url, "HEAD")
    assert (head.status, head.headers["Content-Length"], head.body) == (200, "600000", b"")
    assert (await files.download(url, If_None_Match=head.headers["ETag"])).status == 304


async def test_a_file_is_listed_before_it_is_uploaded_and_has_no_url(world: World) -> None:
    files, field = await opened(world)
    data = await files.announced("fields", field, "k", b"x" * 1536)
    (listed,) = (await files.get("fields", [field], "k"))[field].values()
    assert (list(listed), listed["file_size_kb"]) == (["file_name", "file_size_kb", "created_at"], 1.5)
    assert (await files.upload(data, b"x" * 1536)).status == 204
    assert "url" in (await files.get("fields", [field], "k"))[field]["k"]
    assert "url" not in (await files.get("fields", [field], "k", get_url=False))[field]["k"]


NAMES = {
    "a.pdf": r"\.pdf",
    "a.tar.gz": r"\.gz",
    "none": "",
    "a.": "",
    "a.p\u00e9": "",
    "a\n.PDF": r"\.PDF",
    "x.a/b": "",
}


@pytest.mark.parametrize("name", NAMES)
async def test_a_file_has_a_new_name_with_its_extension(world: World, name: str) -> None:
    import re

    files, field = await opened(world)
    await files.store("fields", field, "k", original_file_name=name)
    listed = (await files.get("fields", [field], "k"))[field]["k"]
    assert re.fullmatch(UUID + NAMES[name], listed["file_name"])
    assert re.fullmatch(TIME, listed["created_at"])


async def test_put_and_patch_of_existing_and_missing_files(world: World) -> None:
    files, field = await opened(world)
    assert (await files.announce("fields", field, "k", operation="PATCH")).code == 5
    await files.store("fields", field, "k", b"1" * 300_000, operation="PATCH", create=True)
    assert (await files.announce("fields", field, "k")).code == 5
    assert await files.content("fields", field, "k") == b"1" * 300_000
    before = (await files.get("fields", [field], "k"))[field]["k"]
    for more in ({"operation": "PUT", "overwrite": True}, {"operation": "PATCH"}):
        data = await files.announced("fields", field, "k", b"2" * 300_000, **more)
        assert staying(files.running, world.mark) == []  # the replaced file is removed at once
        reply = await files.download(before["url"])
        assert (reply.status, reply.code) == (404, 5)
        assert (await files.upload(data, b"2" * 300_000)).status == 204
        before = (await files.get("fields", [field], "k"))[field]["k"]
    assert await files.content("fields", field, "k") == b"2" * 300_000


async def test_the_level_of_ids_is_left_out_for_the_caller_alone(world: World) -> None:
    files, field = await opened(world)
    me = world.name("owner")
    await files.store("users", me, "k")
    assert list(await files.get("users", None, "k", "none")) == ["k"]
    assert list(await files.get("users", [me], "k")) == [me]
    assert list(await files.get("users", [], "k")) == [me]
    await files.store("fields", field, "k")
    assert {id: [*keys] for id, keys in (await files.get("fields", None, "k")).items()} == {field: ["k"]}
    reply = await files.ask("fields", "GET", {"ids": [field, "none"], "keys": ["k"]})
    assert reply.code == 5


async def test_values_and_files_are_two_namespaces(world: World) -> None:
    files, field = await opened(world)
    await files.client.put("fields", field, "value", 1)
    await files.store("fields", field, "file")
    assert list((await files.get("fields", [field], "value", "file"))[field]) == ["file"]
    assert (await files.client.get("fields", [field], "value", "file")).objects == {field: {"value": 1}}
    await files.client.delete("fields", field, "file")
    assert await files.delete("fields", field, "value", "file") == ["file"]
    assert (await files.client.get("fields", [field], "value")).objects == {field: {"value": 1}}


async def test_delete_returns_the_keys_that_existed(world: World) -> None:
    files, field = await opened(world)
    for key in ("a", "b", "c"):
        await files.store("fields", field, key, b"x" * 300_000)
    assert await files.delete("fields", field, "b", "none", "a") == ["b", "a"]
    assert await files.delete("fields", field, "b", "a") == []
    assert list((await files.get("fields", [field], "a", "b", "c"))[field]) == ["c"]
    assert (await files.ask("fields", "DELETE", {"id": "", "keys": ["c"]})).code == 1
    assert await files.delete("fields", field, "c") == ["c"]
    assert staying(files.running, world.mark) == []


async def test_delete_without_an_id_covers_all_resources_where_the_caller_may_delete(world: World) -> None:
    ids = {role: world.name(role) for role in ("own", "read", "edit")}
    plots = [
        {"id": ids["own"], "permissions": {world.name("me"): "owner"}},
        *(
            {"id": ids[role], "permissions": {world.name("other"): "owner", world.name("me"): role}}
            for role in ("read", "edit")
        ),
    ]
    clients = await world.open(
        "me",
        "other",
        "led",
        "watched",
        fields=plots,
        groups=[
            {"id": world.name("g1"), "members": [world.name("led")], "supervisors": {world.name("me"): "edit"}},
            {"id": world.name("g2"), "members": [world.name("watched")], "supervisors": {world.name("me"): "read"}},
        ],
    )
    me, other, led, watched = (Files(client, world.http) for client in clients)
    await me.store("fields", ids["own"], "k")
    for role in ("read", "edit"):
        await other.store("fields", ids[role], "k")
    assert await me.delete("fields", None, "k", "none") == ["k"]
    assert sorted(await me.get("fields", None, "k")) == sorted([ids["read"], ids["edit"]])
    for files, name in ((me, "me"), (led, "led"), (watched, "watched"), (other, "other")):
        await files.store("users", world.name(name), "k")
    assert await me.delete("users", None, "k") == ["k"]
    left = [[*await files.get("users", None, "k")] for files in (me, led, watched, other)]
    assert left == [[], [], ["k"], ["k"]]
    await world.declare(groups=[{"id": world.name("g1"), "supervisors": {}}])
    await led.store("users", world.name("led"), "k")
    assert await me.delete("users", None, "k") == []
    assert [*await led.get("users", None, "k")] == ["k"]


async def test_public_files_are_listed_for_callers_who_may_read_the_field_or_farm(world: World) -> None:
    files, field = await opened(world, "reader")
    farm = world.name("farm")
    await world.declare(farms=[{"id": farm, "permissions": {world.name("owner"): "owner"}}])
    await world.declare(fields=[{"id": 900_000_001, "permissions": {world.name("owner"): "owner"}}])
    for key in ("public_ext_k", "public_priv_k", "k"):
        await files.store("fields", field, key, key.encode())
    await files.store("farms", farm, "public_ext_k")
    reply = await files.shared("field", key="k", fields=f"{field},none")
    assert reply.status == 200
    assert {id: list(keys) for id, keys in reply.json.items()} == {field: ["public_ext_k", "public_priv_k"]}
    for key, told in reply.json[field].items():
        assert list(told) == ["file_name", "file_size_kb", "created_at", "url"]
        assert (await files.download(told["url"])).body == key.encode()
    assert list((await files.shared("farm", key="ext_k", farms=farm)).json) == [farm]
    assert (await files.shared("field", key="k", fields="900000001")).json == {}
    other = World(world.running, world.http)
    (stranger,) = await other.open("stranger")
    theirs = Files(stranger, world.http)
    reply = await theirs.shared("field", key="k", fields=field, client_id=world.extension)
    assert (reply.status, reply.code) == (401, 3)
    await world.declare(
        fields=[{"id": field, "permissions": {world.name("owner"): "owner", other.name("stranger"): "read"}}]
    )
    reply = await theirs.shared("field", key="k", fields=field, client_id=world.extension)
    assert {id: list(keys) for id, keys in reply.json.items()} == {field: ["public_ext_k"]}
    assert (await theirs.shared("field", key="k", fields=field)).json == {}
    assert (await files.shared("field", key="k", fields=field, dev="true")).json == {}
    assert (await files.shared("field", key="k")).code == 1


async def test_urls_begin_with_the_public_url(serve: Callable[..., Running], http: ClientSession) -> None:
    running = serve(public_url="https://files.example/base", signing_key="")
    world = World(running, http)
    files, field = await opened(world)
    data = await files.announced("fields", field, "k")
    assert data["url"] == f"https://files.example/base{FILES}/upload"
    assert (await files.upload(data)).status == 204
    url = (await files.get("fields", [field], "k"))[field]["k"]["url"]
    assert url.startswith(f"https://files.example/base{FILES}/download?")
    here = url.replace("https://files.example/base", running.url)
    assert (await files.download(here)).body == b"bytes"
    key = (running.data_dir / "signing.key").read_text()
    running.restart()  # the generated signing key is kept
    assert (await files.download(here)).status == 200
    assert (running.data_dir / "signing.key").read_text() == key
    assert key not in running.log + running.output


BAD: list[tuple[dict[str, object], int]] = [
    ({"md5": None}, 1),
    ({"md5": ""}, 1),
    ({"original_file_name": ""}, 1),
    ({"file_size_kb": None}, 1),
    ({"key": ""}, 1),
    ({"field": None}, 1),
    ({"field": ""}, 1),
    ({"key": "a-b"}, 2),
    ({"key": "a\n"}, 2),
    ({"key": "é"}, 2),
    ({"md5": "x"}, -4),
    ({"md5": digest(b"")[:-1]}, -4),
    ({"md5": digest(b"") + "\n"}, -4),
    ({"md5": 1}, -4),
    ({"md5": "d41d8cd98f00b204e9800998ecf8427e"}, -4),
    ({"file_size_kb": -1}, -4),
    ({"file_size_kb": "x"}, -4),
    ({"file_size_kb": 1e300}, 7),
    ({"overwrite": 2}, -4),
    ({"original_file_name": 1}, -4),
    ({"field": "none"}, 3),
    ({"field": "x" * 201}, 3),
]


@pytest.mark.parametrize(("change", "code"), BAD, ids=str)
async def test_each_invalid_parameter_has_its_code(world: World, change: dict[str, object], code: int) -> None:
    files, field = await opened(world)
    for operation in ("PUT", "PATCH"):
        reply = await files.ask(
            "fields",
            operation,
            {
                "field": field,
                "key": "k",
                "original_file_name": "a.pdf",
                "md5": digest(b""),
                "file_size_kb": 0,
                "create": True,
                **change,
            },
        )
        assert (reply.status, reply.code) == (400 if code < 0 else 200, code)
    assert await files.get("fields", [field], "k") == {}


async def test_missing_members_are_named(world: World) -> None:
    files, field = await opened(world)
    reply = await files.ask("fields", "PUT", {"key": "k", "md5": digest(b"")})
    assert reply.json["msg"] == "the body lacks `field` and `original_file_name` and `file_size_kb`"
    for flag, code in ((None, 5), ("false", 5), (0, 5), ("true", 0), (1, 0)):
        await files.announced("fields", field, "k", overwrite=True)
        assert (await files.announce("fields", field, "k", overwrite=flag)).json["code"] == code
        await files.delete("fields", field, "k")
        assert (await files.announce("fields", field, "k", operation="PATCH", create=flag)).json["code"] == code
        await files.store("fields", field, "k", overwrite=True)
        assert ("url" in (await files.get("fields", [field], "k", get_url=flag))[field]["k"]) == (code == 0)


async def test_a_public_file_is_found_by_its_stored_key(world: World) -> None:
    files, field = await opened(world)
    await files.store("fields", field, "public_ext_k")
    await files.store("fields", field, "public_priv_k")
    for key, stored in (
        ("k", ["public_ext_k", "public_priv_k"]),
        ("public_ext_k", ["public_ext_k"]),
        ("ext_k", ["public_ext_k"]),
        ("public_priv_k", ["public_priv_k"]),
    ):
        assert sorted((await files.shared("field", key=key, fields=field)).json[field]) == stored


async def test_a_form_is_accepted_too(world: World) -> None:
    files, field = await opened(world)
    md5 = digest(b"bytes").replace("+", "%2B").replace("=", "%3D")
    for operation, body in (
        ("PUT", f"field={field}&key=k&original_file_name=a.pdf&md5={md5}&file_size_kb=0.0048828125&overwrite=true"),
        ("GET", f'ids=["{field}"]&keys=["k"]&get_url=true'),
        ("DELETE", f'id={field}&keys=["k"]'),
    ):
        target = f"{FILES}/fields?operation={operation}"
        reply = await files.client.ask("POST", target, body.encode(), Content_Type="application/x-www-form-urlencoded")
        assert (reply.status, reply.json["code"]) == (200, 0), reply.body
        if operation == "PUT":
            assert (await files.upload(reply.json["data"])).status == 204
        if operation == "GET":
            assert (await files.download(reply.json["objects"][field]["k"]["url"])).body == b"bytes"
    assert reply.json["data"] == {"keys": ["k"]}
