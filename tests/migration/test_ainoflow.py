"""Tests the migration of Ainoflow documents between two services, through a proxy that acts as a hostile vendor."""

import asyncio
import json
import re
import shlex
import signal
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession, web

from service.dialects.ainoflow.parameters import INDEXES
from service.migration import ainoflow
from service.migration.command import Migration, migrate_ainoflow
from service.remote.client import Reply
from service.settings import BadSetting
from tests.dialects.ainoflow.client import DOCUMENTS, Client, open_project
from tests.forking import Forked
from tests.migration.hostile import TROUBLES, Hostile
from tests.remote.proxy import Behaviour, Forward, proxied
from tests.running import ROOT, Running, environment, polystow

FAR = "2099-01-15T10:30:00.123Z"
BODIES = [
    b'{"n":1}',
    b' { "n" : 1250.00 , "m":\t[1e5,-0.0] } ',
    '{"é":"日\U0001f600","e":"\\u0000"}'.encode(),
    b"[]",
    b'{"a":1,"a":2}',
    b'{"pad":"' + b"x" * 40_000 + b'"}',
    b'{"pad":"' + b"y" * 300_000 + b'"}',
]
NAMES = ["plain", "a/b", "é 日", "meta", "%2F", "x" * 200]


@pytest.fixture
async def here(service: Running, http: ClientSession) -> Client:
    return await open_project(service, http)


@pytest.fixture
async def there(other: Running, http: ClientSession) -> Client:
    return await open_project(other, http)


async def filled(project: Client, documents: int = 60) -> int:
    """Put documents of all kinds into a project, and return their number."""
    for number, name in enumerate(NAMES):
        await project.put("names/é", name, BODIES[number % len(BODIES)])
    for number in range(documents):
        query = {"expiresAt": FAR} if number % 5 == 0 else {}
        await project.put("many", f"k{number:05}", BODIES[number % len(BODIES)], **query)
        if number % 7 == 0:
            await project.put("many", f"k{number:05}", BODIES[(number + 1) % len(BODIES)])
    await project.put("single", "one")
    return len(NAMES) + documents + 1


async def everything(project: Client) -> dict[tuple[str, str], tuple[bytes, Any]]:
    """Each document of a project with its metadata, as a client sees them."""
    found = {}
    for category in (await project.ask("GET", DOCUMENTS)).json:
        for key in await project.keys(category["category"], limit=1000):
            name = category["category"], key
            found[name] = (await project.get(*name)).body, (await project.get(*name, "meta")).json
    return found


def redis(project: Client) -> str:
    return f"unix://{project.running.data_dir}/redis.sock"


async def migrate(here: Client, there: Client, base: str, *, incoming: bool, **more: Any) -> int:
    """Migrate documents from there to here, or from here to there."""
    categories = more.pop("categories", [])
    wanted = Migration(base, more.get("token", there.key), more.get("state"))
    return await migrate_ainoflow(redis(here), wanted, incoming=incoming, project=here.project, categories=categories)


both_directions = pytest.mark.parametrize("incoming", [True, False], ids=["from", "to"])


def test_a_migration_writes_the_indexes_of_the_dialect() -> None:
    assert ainoflow.INDEXES == INDEXES


@pytest.mark.parametrize("seed", [1, 2])
async def test_documents_arrive_unchanged_from_a_hostile_vendor(
    here: Client, there: Client, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes, versions, times, expiries and the ids of the writing keys are unchanged."""
    count = await filled(there)
    hostile = Hostile(seed)
    async with proxied(there.running.url, hostile) as url:
        assert await migrate(here, there, url, incoming=True) == 0, capsys.readouterr().err
    assert set(TROUBLES) == set(hostile.did)
    assert len(await everything(here)) == count
    assert await everything(here) == await everything(there)
    examined = polystow("fsck", redis_url=redis(here))
    assert examined.returncode == 0, examined.stdout


async def test_documents_are_sent_unchanged_to_a_hostile_vendor(
    here: Client, there: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes and expiries are unchanged; versions begin at 1 again."""
    count = await filled(here)
    hostile = Hostile(3)
    async with proxied(there.running.url, hostile) as url:
        assert await migrate(here, there, url, incoming=False) == 0, capsys.readouterr().err
    assert set(TROUBLES) == set(hostile.did)
    sent, got = await everything(here), await everything(there)
    assert len(got) == count

    def kept(documents: dict[tuple[str, str], tuple[bytes, Any]]) -> object:
        return {name: (body, meta["expiresAt"], meta["etag"]) for name, (body, meta) in documents.items()}

    assert kept(got) == kept(sent)
    assert {meta["version"] for _, meta in got.values()} == {1}


def limited(hostile: Hostile, requests: int) -> Behaviour:
    """Start a vendor that refuses everything after a number of requests."""

    async def behaviour(request: web.Request, forward: Forward) -> Reply | None:
        if hostile.asked >= requests:
            return Reply(401, {}, b'{"error": {"message": "expired"}}')
        return await hostile(request, forward)

    return behaviour


@both_directions
async def test_a_second_start_continues_where_the_first_one_ended(
    here: Client, there: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str], incoming: bool
) -> None:
    for number in range(1300):
        await (there if incoming else here).put("many", f"k{number:05}")
    first, second = Hostile(0, share=0), Hostile(0, share=0)
    state = tmp_path / "state.json"
    async with proxied(there.running.url, limited(first, 1000)) as url:
        assert await migrate(here, there, url, incoming=incoming, state=state) == 1
        said = capsys.readouterr().err
        assert "was answered with 401" in said
        assert f"to continue, start it again with --state {state}" in said
        told = json.loads(state.read_bytes())
        assert told["parts"]["many"]["position"] not in ("", "0")
    async with proxied(there.running.url, second) as url:
        with pytest.raises(BadSetting, match="is the state of another migration"):
            await migrate(here, there, url, incoming=incoming, state=state)
        told["task"]["server"] = url  # another port, for the proxy is another one
        state.write_text(json.dumps(told))
        assert await migrate(here, there, url, incoming=incoming, state=state) == 0, capsys.readouterr().err
    assert second.asked < 900  # of more than 1,300 in all
    for page in (1, 2):
        keys = await here.keys("many", sortBy="key", limit=1000, page=page)
        assert keys == await there.keys("many", sortBy="key", limit=1000, page=page)
        assert len(keys) == (1000 if page == 1 else 300)


@both_directions
async def test_a_killed_migration_continues_and_repeats_nothing(
    here: Client, there: Client, tmp_path: Path, incoming: bool
) -> None:
    """The migration is killed (SIGKILL) at random requests, and started again until it ends by itself."""
    count = await filled(there if incoming else here, 150)
    chance = Random(11)
    left = [0]  # requests until the process is killed
    running: list[Forked] = []

    async def behaviour(request: web.Request, forward: Forward) -> Reply | None:
        left[0] -= 1
        if left[0] == 0:
            running[-1].kill()
        return await forward()

    async with proxied(there.running.url, behaviour) as url:
        direction = ("--from" if incoming else "--to", url)
        named = ("--project", here.project, "--token-env", "POLYSTOW_KEY", "--state", str(tmp_path / "state"))
        outside = environment({"redis_url": redis(here), "key": there.key})
        for attempt in range(6):
            left[0] = chance.randrange(5, 30) if attempt < 5 else 0
            with (tmp_path / "said").open("w+b") as said:
                running.append(Forked(["migrate", "ainoflow", *direction, *named], outside, said, said, said))
                await asyncio.to_thread(running[-1].wait)
    ended = [process.returncode for process in running]
    assert ended == [-signal.SIGKILL] * 5 + [0], (tmp_path / "said").read_text()
    sides = await everything(here), await everything(there)
    assert len(sides[0]) == len(sides[1]) == count
    bodies = [{name: (body, meta["expiresAt"]) for name, (body, meta) in side.items()} for side in sides]
    assert bodies[0] == bodies[1]
    if incoming:
        assert sides[0] == sides[1]


async def test_an_invalid_state_file_is_refused(here: Client, there: Client, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("{")
    with pytest.raises(BadSetting, match="is not the state of a migration"):
        await migrate(here, there, there.running.url, incoming=True, state=tmp_path / "state")


@both_directions
async def test_the_document_with_the_latest_update_stays(
    here: Client, there: Client, capsys: pytest.CaptureFixture[str], incoming: bool
) -> None:
    """Both sides have three documents of one name: a newer one here, a newer one there, and equal ones."""
    await there.put("c", "newer-here", b'{"of":"there"}')
    await here.put("c", "newer-here", b'{"of":"here"}')
    await here.put("c", "newer-there", b'{"of":"here"}')
    await there.put("c", "newer-there", b'{"of":"there"}')
    assert await migrate(here, there, there.running.url, incoming=incoming) == 1
    target, own, owner = (here, "here", "document in Polystow") if incoming else (there, "there", "vendor's document")
    for side in ("here", "there"):
        assert (await target.get("c", f"newer-{side}")).json == {"of": side}
    assert f"c/newer-{own}: the {owner} is newer and was kept" in capsys.readouterr().err


@both_directions
async def test_a_second_migration_changes_nothing(
    here: Client, there: Client, incoming: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    count = await filled(there if incoming else here, 10)
    assert await migrate(here, there, there.running.url, incoming=incoming) == 0
    before = await everything(here), await everything(there)
    capsys.readouterr()
    assert await migrate(here, there, there.running.url, incoming=incoming) == 0
    assert f"\n{count} present; 0 to check\n" in capsys.readouterr().err
    assert (await everything(here), await everything(there)) == before


async def test_a_quiet_migration_prints_only_errors(
    here: Client, there: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    await there.put("fine", "k")
    wanted = Migration(there.running.url, there.key, quiet=True)
    assert await migrate_ainoflow(redis(here), wanted, incoming=True, project=here.project, categories=[]) == 0
    assert capsys.readouterr().err == ""
    await here.put("more", "here-alone")
    await there.put("more", "k")
    assert await migrate_ainoflow(redis(here), wanted, incoming=True, project=here.project, categories=[]) == 1
    assert (
        capsys.readouterr().err == "more: 1 at the vendor, 2 in Polystow; 1 of 1 compared are equal  <- they differ\n"
    )


async def test_only_chosen_categories_are_migrated(here: Client, there: Client) -> None:
    await filled(there, 10)
    chosen = ["single", "names/é"]
    assert await migrate(here, there, there.running.url, incoming=True, categories=chosen) == 0
    assert {category for category, _ in await everything(here)} == set(chosen)


async def test_a_document_that_is_missing_at_the_end_is_reported(
    here: Client, there: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    """The vendor counts the document and does not list it. Passes are repeated, as it may be a new one."""
    for key in ("a", "b", "c"):
        await there.put("c", key)

    async def behaviour(request: web.Request, forward: Forward) -> Reply:
        reply = await forward()
        if "sortBy" not in request.query:
            return reply
        shown = [item for item in json.loads(reply.body) if item["key"] != "b"]
        return Reply(reply.status, reply.headers, json.dumps(shown).encode())

    async with proxied(there.running.url, behaviour) as url:
        assert await migrate(here, there, url, incoming=True) == 1
    assert "c: 3 at the vendor, 2 in Polystow; 2 of 2 compared are equal  <- they differ" in capsys.readouterr().err


async def test_an_etag_that_is_not_the_md5_of_the_body_is_reported(
    here: Client, there: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    await there.put("c", "k", b'{"n": 1.0}')

    async def behaviour(request: web.Request, forward: Forward) -> Reply:
        reply = await forward()
        if not request.path.endswith("/meta"):
            return reply
        return Reply(reply.status, reply.headers, json.dumps(json.loads(reply.body) | {"etag": "xyz789"}).encode())

    async with proxied(there.running.url, behaviour) as url:
        assert await migrate(here, there, url, incoming=True) == 1
    assert "c/k: its etag is not the MD5 of its body; the body was kept" in capsys.readouterr().err
    assert (await here.get("c", "k")).body == b'{"n": 1.0}'


async def test_lists_with_other_digits_or_white_space_do_not_change_a_body(here: Client, there: Client) -> None:
    """A vendor may list a document with other digits or white space than it stores."""
    await there.put("c", "k", b'{ "n": 1250.00 }')

    async def behaviour(request: web.Request, forward: Forward) -> Reply:
        reply = await forward()
        body = reply.body.replace(b"1250.00 ", b"1250.0") if "sortBy" in request.query else reply.body
        return Reply(reply.status, reply.headers, body)

    async with proxied(there.running.url, behaviour) as url:
        assert await migrate(here, there, url, incoming=True) == 0
    assert (await here.get("c", "k")).body == b'{ "n": 1250.00 }'


async def test_a_document_that_changes_meanwhile_is_copied_as_of_one_moment(here: Client, there: Client) -> None:
    await there.put("c", "k", b'{"n":0}')
    changes = 0

    async def behaviour(request: web.Request, forward: Forward) -> Reply:
        nonlocal changes
        reply = await forward()
        if request.path.endswith("/k/meta") and changes < 5:
            changes += 1
            await there.put("c", "k", b'{"n":%d}' % changes)
        body = reply.body.replace(b'"value":{"n":0}', b'"value":{"n": 0}')  # so that it is read by itself
        return Reply(reply.status, reply.headers, body)

    async with proxied(there.running.url, behaviour) as url:
        assert await migrate(here, there, url, incoming=True) == 0
    assert await everything(here) == await everything(there)


async def test_large_documents_after_small_ones_do_not_fill_the_memory(
    here: Client, there: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages grow with small documents; one that would be too large is asked for in parts."""
    monkeypatch.setattr("service.remote.client.MOST_BYTES", 400_000)
    for number in range(230):
        await there.put("c", f"{number:03}", BODIES[0] if number < 200 else BODIES[-1])
    shown: list[int] = []

    async def behaviour(request: web.Request, forward: Forward) -> Reply:
        reply = await forward()
        if "sortBy" in request.query:
            shown.append(int(request.query["limit"]))
        return reply

    async with proxied(there.running.url, behaviour) as url:
        assert await migrate(here, there, url, incoming=True) == 0
    assert max(shown) >= 64
    assert 1 in shown
    assert await everything(here) == await everything(there)


async def test_a_refused_key_is_reported_and_nothing_is_written(
    here: Client, there: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    await there.put("c", "k")
    assert await migrate(here, there, there.running.url, incoming=True, token="not-a-key") == 1
    assert "was answered with 401" in capsys.readouterr().err
    await here.nothing_stored()


async def test_the_command_line_migrates_into_a_data_directory(there: Client, http: ClientSession) -> None:
    await there.put("c", "k", b'{"n":1}')
    with Running() as offline:
        offline.wait_ready().stop()
        chosen = ("--from", there.running.url, "--token-env", "POLYSTOW_VENDOR_KEY", "--project", "acme")
        done = polystow("migrate", "ainoflow", *chosen, data_dir=offline.data_dir, vendor_key=there.key)
        assert done.returncode == 0, done.stderr
        assert "Ainoflow's API does not list keys, quotas and rates" in done.stderr
        assert "c: 1 at the vendor, 1 in Polystow; 1 of 1 compared are equal\n1 stored; 0 to check\n" in done.stderr
        offline.restart()
        assert (await Client(http, offline, "ak-1", "acme").get("c", "k")).body == b'{"n":1}'


async def test_the_commands_of_the_page_move_documents(here: Client, there: Client, http: ClientSession) -> None:
    """The commands of docs/migrating.md are used as printed, except for the vendor's URL."""
    await there.put("c", "k", b'{"n":1}')
    back = await open_project(there.running, http)
    page = (ROOT / "docs" / "migrating.md").read_text()
    commands = re.findall(r"^ +polystow (migrate ainoflow .*)", page, re.MULTILINE)
    assert len(commands) == 2
    for command, project in zip(commands, (there, back), strict=True):
        arguments = shlex.split(command.replace("https://api.ainoflow.io", there.running.url))
        arguments[arguments.index("acme")] = here.project
        arguments[arguments.index("AINOFLOW_KEY")] = "POLYSTOW_AINOFLOW_KEY"
        arguments[arguments.index("--state") + 1] = str(here.running.data_dir / uuid4().hex)
        done = polystow(*arguments, redis_url=redis(here), ainoflow_key=project.key)
        assert done.returncode == 0, done.stderr
    assert (await back.get("c", "k")).body == (await here.get("c", "k")).body == b'{"n":1}'


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "one of the arguments --from --to is required"),
        (("--from", "http://x", "--to", "http://y"), "not allowed with argument"),
        (("--from", "x"), "--from must be a URL such as "),
        (("--to", "ftp://x"), "--to must be a URL such as "),
        (("--from", "http://x", "--token-env", "NONE_SUCH"), "the environment variable NONE_SUCH is not set"),
    ],
)
def test_wrong_arguments_end_with_status_2(arguments: tuple[str, ...], said: str) -> None:
    done = polystow("migrate", "ainoflow", "--project", "p", "--token-env", "PATH", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
