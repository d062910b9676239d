"""Tests the migration of variables of an Avaamo agent from another service."""

import json
import re
import shlex
from pathlib import Path
from random import randrange
from typing import Any

import pytest
from aiohttp import ClientSession, web

from service.migration.command import Migration, layer_ids, migrate_avaamo
from service.remote.client import Reply
from service.settings import BadSetting
from tests.dialects.avaamo.client import Client, declare, global_storage
from tests.migration.hostile import TROUBLES, Hostile
from tests.remote.proxy import Forward, proxied
from tests.running import ROOT, Running, polystow


async def opened(running: Running, http: ClientSession, agent: int) -> Client:
    token = {"token": f"token-{agent}", "agents": {str(agent): "edit"}}
    await declare(running, http, {"agents": [{"id": agent}], "tokens": [token]})
    return Client(http, running, f"token-{agent}", agent)


@pytest.fixture
async def here(service: Running, http: ClientSession, agent: int) -> Client:
    return await opened(service, http, agent)


@pytest.fixture
async def there(other: Running, http: ClientSession, agent: int) -> Client:
    return await opened(other, http, agent)


def redis(client: Client) -> str:
    return f"unix://{client.running.data_dir}/redis.sock"


async def brought(here: Client, there: Client, base: str, users: dict[int, str], state: Path | None = None) -> int:
    wanted = Migration(base, there.token, state)
    return await migrate_avaamo(redis(here), wanted, str(there.agent), users)


async def rows(client: Client) -> list[Any]:
    """All variables of the agent with their times, newest first."""
    found: list[Any] = []
    while len(found) % 100 == 0:
        page = await client.rows(per_page=100, page=len(found) // 100 + 1)
        found += page
        if not page:
            break
    return found


async def put_global(client: Client, key: str, value: str) -> None:
    body = json.dumps({"value": value, "bot_id": client.agent}).encode()
    assert (await client.ask("PUT", global_storage(key, bot_id=client.agent), body)).status == 201


async def number_of(client: Client, layer_id: str) -> int:
    """The number of a user who has a variable `role`."""
    return next(int(row["user"]["id"]) for row in await client.rows(key="role", value=layer_id) if row.get("user"))


async def filled(there: Client, http: ClientSession, users: int = 3, each: int = 80) -> dict[int, str]:
    """Variables of users, and global ones; the layer ids of the users by numbers that are unused here."""
    names = [f"user-{there.agent}-{number}" for number in range(users)]
    first = there.agent % 2**40 + 2**41
    declared: list[dict[str, object]] = [{"layer_id": name, "id": first + n} for n, name in enumerate(names)]
    declared[0]["display_name"] = "Ada Lovelace"
    await declare(there.running, http, {"users": declared})
    for name in names:
        await there.set(name, "role", name)
        for number in range(each):
            await there.set(name, f"k{number}", f"{name} é {number}")
    await put_global(there, "greeting", "hello")
    return {await number_of(there, name): name for name in names}


async def test_variables_arrive_unchanged_from_a_hostile_vendor(
    here: Client, there: Client, http: ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    """Users, display names and times are unchanged, too."""
    users = await filled(there, http)
    hostile = Hostile(7, share=0.6)
    async with proxied(there.running.url, hostile) as url:
        assert await brought(here, there, url, users) == 0, capsys.readouterr().err
    assert "variables: 244 at the vendor, 244 in Polystow; 244 of 244 compared are equal" in capsys.readouterr().err
    assert hostile.did.total() > 3
    assert set(hostile.did) <= set(TROUBLES)
    ours, theirs = await rows(here), await rows(there)
    for row in (*ours, *theirs):
        del row["id"]
    assert ours == theirs
    for number, name in users.items():
        await here.set(name, "new", "one")  # by the layer id, which leads to the number
        assert [row["user"]["id"] for row in await here.rows(key="new", user_id=number)] == [number]
    examined = polystow("fsck", redis_url=redis(here))
    assert examined.returncode == 0, examined.stdout


async def test_free_ids_are_kept(here: Client, there: Client, http: ClientSession) -> None:
    """Free ids are larger than all that the target has given. Variables that are set later get other ids."""
    await filled(there, http, users=1, each=10)
    far = randrange(10**9, 10**10) * 1000

    async def behaviour(request: web.Request, forward: Forward) -> Reply:
        reply = await forward()
        told = json.loads(reply.body)
        for row in told["storage"]:
            row["id"] += far if row["key"] != "k3" else 0
        return Reply(reply.status, reply.headers, json.dumps(told).encode())

    expected = {row["key"]: row["id"] + far for row in await rows(there)}
    before = await opened(here.running, http, here.agent + 1)
    await before.set("first", "before", "1")  # so that small ids are not free
    async with proxied(there.running.url, behaviour) as url:
        assert await brought(here, there, url, {}) == 0
    ids = {row["key"]: row["id"] for row in await rows(here)}
    assert {key: id for key, id in ids.items() if key != "k3"} == {
        key: id for key, id in expected.items() if key != "k3"
    }
    await here.set("later", "after", "1")
    every = [row["id"] for row in (*await rows(here), *await rows(before))]
    assert len(every) == len(set(every)) == 14


async def test_users_without_a_layer_id_keep_their_number_and_name(
    here: Client, there: Client, http: ClientSession
) -> None:
    """Their numbers are not given to other users. A later migration that knows the layer id uses the number."""
    users = await filled(there, http, users=2, each=1)
    assert await brought(here, there, there.running.url, {}) == 0
    shown = {row["user"]["id"]: row["user"]["display_name"] for row in await rows(here) if "user" in row}
    assert shown == {row["user"]["id"]: row["user"]["display_name"] for row in await rows(there) if "user" in row}
    assert "Ada Lovelace" in shown.values()
    await here.set(f"stranger-{here.agent}", "role", "stranger")
    assert await number_of(here, "stranger") not in users
    assert await brought(here, there, there.running.url, users) == 1  # the stranger's variable is here alone
    for number, name in users.items():
        await here.set(name, "role", "again")
        assert [row["value"] for row in await here.rows(key="role", user_id=number)] == ["again"]


async def test_the_value_with_the_latest_update_stays(
    here: Client, there: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    await put_global(there, "newer-here", "there")
    await put_global(here, "newer-here", "here")
    await put_global(here, "newer-there", "here")
    await put_global(there, "newer-there", "there")
    assert await brought(here, there, there.running.url, {}) == 1
    assert "the value of newer-here of user 0 in Polystow is newer and was kept" in capsys.readouterr().err
    assert sorted(await here.pairs()) == [("newer-here", "here"), ("newer-there", "there")]


async def test_a_user_whose_number_belongs_to_another_user_is_left_out(
    here: Client, there: Client, http: ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    await here.set(f"own-{here.agent}", "role", f"own-{here.agent}")
    taken = await number_of(here, f"own-{here.agent}")
    await there.set("x", "k", "v")

    async def behaviour(request: web.Request, forward: Forward) -> Reply:
        reply = await forward()
        told = json.loads(reply.body)
        told["storage"][0]["user"] = {"id": taken, "display_name": "Somebody"}
        return Reply(reply.status, reply.headers, json.dumps(told).encode())

    async with proxied(there.running.url, behaviour) as url:
        assert await brought(here, there, url, {}) == 1
    said = capsys.readouterr().err
    assert f"the number {taken} belongs to another user in Polystow; variables of Somebody are left out" in said
    assert [row["key"] for row in await here.rows()] == ["role"]


async def test_a_second_start_continues(here: Client, there: Client, http: ClientSession, tmp_path: Path) -> None:
    await filled(there, http, each=120)
    state = tmp_path / "state"
    asked: list[str] = []

    def vendor(most: int) -> Any:
        async def behaviour(request: web.Request, forward: Forward) -> Reply:
            asked.append(request.query["page"])
            return await forward() if len(asked) <= most else Reply(401, {}, b"{}")

        return behaviour

    async with proxied(there.running.url, vendor(7)) as url:
        assert await brought(here, there, url, {}, state) == 1
    assert asked == ["1", "2", "3", "4", "1", "2", "3", "4"]  # for the ids, then for the variables
    told = json.loads(state.read_bytes())
    asked.clear()
    async with proxied(there.running.url, vendor(100)) as url:
        state.write_text(json.dumps(told | {"task": told["task"] | {"server": url}}))
        assert await brought(here, there, url, {}, state) == 0
    assert asked == ["4", "1"]
    assert len(await rows(here)) == 364


async def test_a_variable_that_cannot_be_stored_is_named(
    here: Client, there: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    await put_global(there, "k", "v")

    async def behaviour(request: web.Request, forward: Forward) -> Reply:
        reply = await forward()
        return Reply(reply.status, reply.headers, reply.body.replace(b'"v"', b'"%b"' % (b"v" * 70_000)))

    async with proxied(there.running.url, behaviour) as url:
        assert await brought(here, there, url, {}) == 1
    assert "its value must have at most 65536 bytes in UTF-8, not 70000" in capsys.readouterr().err


def test_a_malformed_file_of_users_is_refused() -> None:
    assert layer_ids("f", b"user_368,8880460\n\na,b,7\n") == {8880460: "user_368", 7: "a,b"}
    for text in (b"user_368", b",5", b"a,", b"a,x"):
        with pytest.raises(BadSetting, match="f: line 1 must be a layer id and a number"):
            layer_ids("f", text)


async def test_the_commands_of_the_page_move_an_agent(
    here: Client, there: Client, http: ClientSession, tmp_path: Path
) -> None:
    """The command of docs/migrating.md is used as printed, with another URL and other names."""
    users = await filled(there, http, users=2, each=2)
    (tmp_path / "users.csv").write_text("".join(f"{name},{number}\n" for number, name in users.items()))
    page = (ROOT / "docs" / "migrating.md").read_text()
    (command,) = re.findall(r"^ +polystow (migrate avaamo .*)", page, re.MULTILINE)
    arguments = shlex.split(command.replace("https://cx.avaamo.com", there.running.url))
    named = {
        "--token-env": "POLYSTOW_AVAAMO_TOKEN",
        "--agent": str(here.agent),
        "--users": str(tmp_path / "users.csv"),
        "--state": str(tmp_path / "state"),
    }
    for flag, value in named.items():
        arguments[arguments.index(flag) + 1] = value
    done = polystow(*arguments, redis_url=redis(here), avaamo_token=there.token)
    assert done.returncode == 0, done.stderr
    assert "Avaamo's API does not list tokens and permissions" in done.stderr
    assert len(await rows(here)) == 7
