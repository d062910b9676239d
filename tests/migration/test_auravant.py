"""Tests the migration of values and files of an Auravant extension from another service."""

import json
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import ClientSession, web

from service.migration.command import Migration, migrate_auravant
from service.remote.client import Reply
from tests.dialects.auravant.client import Client, World
from tests.dialects.auravant.files import Files
from tests.migration.hostile import TROUBLES, Hostile
from tests.remote.proxy import Forward, proxied
from tests.running import ROOT, Running, polystow

LARGE = bytes(range(256)) * 2500  # more than one chunk
KEYS = ["state", "public_ext_name", "none", "count", *(f"k{number}" for number in range(250))]


class Side:
    """One of two services that declare the same extension, users, fields and farms."""

    def __init__(self, world: World, user: Client, http: ClientSession) -> None:
        self.world, self.user, self.files = world, user, Files(user, http)
        self.ids = {"users": world.name("grower"), "fields": world.name("field"), "farms": world.name("farm")}
        self.redis = f"unix://{world.running.data_dir}/redis.sock"

    async def values(self, scope: str) -> object:
        return (await self.user.get(scope, [self.ids[scope]], *KEYS[:20])).objects

    async def file_name(self, scope: str, key: str) -> object:
        return (await self.files.get(scope, [self.ids[scope]], key))[self.ids[scope]][key]["file_name"]

    async def contents(self, scope: str) -> dict[str, bytes | None]:
        return {key: await self.files.content(scope, self.ids[scope], key) for key in ("report", "map", "waiting")}


async def side(running: Running, http: ClientSession, mark: str) -> Side:
    world = World(running, http)
    world.mark = mark
    world.extension = world.name("ext")
    owned = {world.name("grower"): "owner"}
    (user,) = await world.open(
        "grower",
        fields=[{"id": world.name("field"), "permissions": owned}],
        farms=[{"id": world.name("farm"), "permissions": owned}],
    )
    return Side(world, user, http)


@pytest.fixture
def mark() -> str:
    return uuid4().hex[:12]


@pytest.fixture
async def here(service: Running, http: ClientSession, mark: str) -> Side:
    return await side(service, http, mark)


@pytest.fixture
async def there(other: Running, http: ClientSession, mark: str) -> Side:
    return await side(other, http, mark)


async def fill(there: Side, scopes: Iterable[str]) -> None:
    for scope in scopes:
        id = there.ids[scope]
        raw = b'{"id": "%b", "key": "count", "value": {"n": 1250.00, "m":[1e5]}}' % id.encode()
        assert (await there.user.storage(scope, "PUT", raw)).code == 0
        for key, value in (("state", {"step": 2}), ("public_ext_name", {"name": "Ada"}), ("k0", "é"), ("k249", [1])):
            assert (await there.user.put(scope, id, key, value)).code == 0
        await there.files.store(scope, id, "report", b"%PDF-1.4")
        await there.files.store(scope, id, "map", LARGE)
        await there.files.announced(scope, id, "waiting")


async def brought(here: Side, there: Side, base: str, scope: str, state: Path | None = None) -> int:
    task = {"scope": scope, "extension": here.world.extension, "environment": "production"}
    keys = [*KEYS, "report", "map", "waiting"]
    wanted = Migration(base, there.user.token, state)
    return await migrate_auravant(here.redis, wanted, task, [here.ids[scope]], keys)


async def test_values_and_files_arrive_unchanged_from_a_hostile_vendor(
    here: Side, there: Side, capsys: pytest.CaptureFixture[str]
) -> None:
    scopes = ("users", "fields", "farms")
    await fill(there, scopes)
    hostile = Hostile(5, share=0.5)
    async with proxied(there.world.running.url, hostile) as url:
        for scope in scopes:
            assert await brought(here, there, url, scope) == 0, capsys.readouterr().err
            said = capsys.readouterr().err
            assert "values: 5 at the vendor, 5 in Polystow; 5 of 5 compared are equal\n" in said
            assert "files: 2 at the vendor, 2 in Polystow; 2 of 2 compared are equal\n" in said
            assert "5 values stored, 2 files stored, 1 files that were never uploaded; 0 to check\n" in said
    assert set(TROUBLES) == set(hostile.did)
    for scope in scopes:
        assert await here.values(scope) == await there.values(scope)
        assert b'{"n": 1250.00, "m":[1e5]}' in (await here.user.get(scope, [here.ids[scope]], "count")).body
        assert await here.contents(scope) == {"report": b"%PDF-1.4", "map": LARGE, "waiting": None}
        assert await here.file_name(scope, "map") == await there.file_name(scope, "map")
    user = here.ids["users"]
    found = (await here.user.shared("user", key="name")).json  # of all users: the link is there too
    assert {"user": user, "value": {"name": "Ada"}} in found
    examined = polystow("fsck", redis_url=here.redis)
    assert examined.returncode == 0, examined.stdout


async def test_existing_values_and_files_stay(here: Side, there: Side, capsys: pytest.CaptureFixture[str]) -> None:
    await fill(there, ["fields"])
    await here.user.put("fields", here.ids["fields"], "state", {"of": "here"})
    await here.files.store("fields", here.ids["fields"], "report", b"of here")
    await here.files.announced("fields", here.ids["fields"], "map")  # was never uploaded, so it may be replaced
    assert await brought(here, there, there.world.running.url, "fields") == 1
    said = capsys.readouterr().err
    for key in ("state", "report"):
        assert f"fields {here.ids['fields']}: the {key} in Polystow is different and was kept\n" in said
    assert (await here.user.get("fields", [here.ids["fields"]], "state")).objects[here.ids["fields"]] == {
        "state": {"of": "here"}
    }
    assert await here.contents("fields") == {"report": b"of here", "map": LARGE, "waiting": None}


async def test_a_second_start_does_not_request_again(here: Side, there: Side, tmp_path: Path) -> None:
    await fill(there, ["users"])
    hostile = Hostile(0, share=0)
    async with proxied(there.world.running.url, hostile) as url:
        assert await brought(here, there, url, "users", tmp_path / "state") == 0
        asked = hostile.asked
        assert await brought(here, there, url, "users", tmp_path / "state") == 0
    assert hostile.asked == asked


async def test_an_unreadable_resource_is_named(here: Side, there: Side, capsys: pytest.CaptureFixture[str]) -> None:
    here.ids["fields"] = "no-such-field"
    assert await brought(here, there, there.world.running.url, "fields") == 1
    assert "fields no-such-field: code 5 no such field no-such-field" in capsys.readouterr().err


async def test_an_unexpected_answer_of_the_vendor_is_reported(
    here: Side, there: Side, capsys: pytest.CaptureFixture[str]
) -> None:
    async def behaviour(request: web.Request, forward: Forward) -> Reply:
        return Reply(200, {}, b"<html>")

    async with proxied("http://unused", behaviour) as url:
        assert await brought(here, there, url, "users") == 1
    assert "an answer is not as the vendor's page describes it" in capsys.readouterr().err


async def test_the_commands_of_the_page_move_an_extension(here: Side, there: Side, tmp_path: Path) -> None:
    """The command of docs/migrating.md is used as printed, with another URL and other names."""
    await there.user.put("fields", there.ids["fields"], "soil", {"ph": 6.5})
    page = (ROOT / "docs" / "migrating.md").read_text().replace("\\\n", " ")
    (command,) = re.findall(r"^ +polystow (migrate auravant .*)", page, re.MULTILINE)
    arguments = shlex.split(command.replace("https://api.auravant.com", there.world.running.url))
    (tmp_path / "fields.txt").write_text(here.ids["fields"] + "\n")
    (tmp_path / "keys.txt").write_text("soil\n\nnone\n")
    named = {
        "--token-env": "POLYSTOW_AURAVANT_TOKEN",
        "--extension": here.world.extension,
        "--ids": str(tmp_path / "fields.txt"),
        "--keys": str(tmp_path / "keys.txt"),
        "--state": str(tmp_path / "state"),
    }
    for flag, value in named.items():
        arguments[arguments.index(flag) + 1] = value
    done = polystow(*arguments, redis_url=here.redis, auravant_token=there.user.token)
    assert done.returncode == 0, done.stderr
    assert "Auravant's API lists neither resources nor keys" in done.stderr
    assert json.loads((tmp_path / "state").read_bytes())["parts"] == {"fields": {"position": "1", "done": False}}
    found = (await here.user.get("fields", [here.ids["fields"]], "soil")).objects
    assert found == {here.ids["fields"]: {"soil": {"ph": 6.5}}}
