"""Tests the access document: what is refused, the place that an error names, and that no error quotes the document."""

import asyncio
import json
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from time import monotonic

import pytest
from aiohttp import ClientSession

from service.api.access_document import Malformed
from service.dialects import discover
from service.operations import access
from tests.process.test_operations import admin, put_access
from tests.running import ROOT, Running, polystow

DIALECTS = list(discover())
SECRET = "ak-5ecret"
NUMBER = count()


def refused(document: str | bytes) -> str:
    with pytest.raises(Malformed) as error:
        access.parse(document, DIALECTS)
    return str(error.value)


WRONG = [  # a document with an error near a key, and the message about it
    ("ainoflow: {keys: [{key: SECRET, id: a, project: p}", "line 2, column 1: not YAML or JSON"),
    ("ainoflow:\n keys:\n  - {key: 'SECRET, id: a}\n", "line 4, column 1: not YAML or JSON"),
    ("ainoflow: {keys: [{key: *SECRET, id: a}]}", "line 1, column 25: aliases"),
    ("ainoflow: {keys: [{key: !SECRET a, id: a}]}", "line 1, column 25: this value is not supported"),
    ("ainoflow: {keys: [{key: !!int SECRET}]}", "line 1, column 25: this value is not supported"),
    ("ainoflow: {keys: [{expires: 2030-13-45, key: SECRET}]}", "line 1, column 29: this value is not supported"),
    ("ainoflow: {keys: [{key: SECRET, id: a}]}", "ainoflow.keys[0]: it needs a project"),
    ("ainoflow: {keys: [{SECRET: a}]}", "ainoflow.keys[0]: it has an unknown member; there are id, project, key"),
    ("ainoflow: {keys: {SECRET: a}}", "ainoflow.keys: it must be a list, not a map"),
    ("ainoflow: {keys: [SECRET]}", "ainoflow.keys[0]: it must be a map, not a string"),
    ("ainoflow: {keys: [{id: a, key: 'SECRET '}]}", "ainoflow.keys[0].key: it must be visible ASCII"),
    ("ainoflow: {keys: [{id: SECRET, project: p, expires: SECRET}]}", "ainoflow.keys[0].expires: it must be a date"),
    ("ainoflow: {keys: [{id: a, remove: SECRET}]}", "ainoflow.keys[0].remove: it must be true or false"),
    ("auravant: {fields: [{id: 1, permissions: {a: SECRET}}]}", "permissions[...]: it must be one of add"),
    ("auravant: {tokens: [{token: SECRET}]}", "auravant.tokens[0]: it needs a user, an extension and a version"),
    ("avaamo: {users: [{layer_id: SECRET}]}", "avaamo.users[0].id: it must be from 1"),
    ("genesys: {credentials: [{username: 'a:SECRET'}]}", "genesys.credentials[0].username: it must be"),
    ("SECRET: {}", "section 1: no such dialect; there are ainoflow"),
    ("{? [SECRET] : 1}", "line 1, column 4: a key must be a string or a number"),
    ("- SECRET", "the document must be a map"),
    ("ainoflow: {projects: [{id: a, quota: {bytes: 18446744073709551616}}]}", "line 1, column 46: a number of more"),
    ("ainoflow: {keys: [{key: SECRET, id: a, project: 0x" + "f" * 5000 + "}]}", "line 1, column 52: a number of more"),
    ("[" * 5000 + "SECRET", "the document is nested too deeply"),
]


@pytest.mark.parametrize(("document", "told"), WRONG, ids=[told for _, told in WRONG])
def test_an_error_names_its_place_and_reason_and_never_quotes_the_document(document: str, told: str) -> None:
    said = refused(document.replace("SECRET", SECRET))
    assert told in said
    assert SECRET not in said


@pytest.mark.parametrize("document", [b"ainoflow: \xff", b"\xff\xfe\xff", b"\0"])
def test_bytes_that_are_not_text_are_refused_with_their_position(document: bytes) -> None:
    assert re.match("position [0-9]+: ", refused(document))


def test_nothing_of_a_document_is_on_the_output_of_any_command(tmp_path: Path) -> None:
    document = tmp_path / "access.yaml"
    for text in (f"ainoflow:\n  keys:\n    - {{key: {SECRET}, id: [}}\n", f"ainoflow: {{keys: [{{key: {SECRET}}}]}}"):
        document.write_text(text)
        for command in (("serve",), ("access", "apply", str(document)), ("doctor",)):
            done = polystow(*command, data_dir=tmp_path / "d", port=0, ops_port=0, access=document)
            assert done.returncode == (1 if command == ("doctor",) else 2)
            assert re.search(r"line 3|ainoflow\.keys\[0\]", done.stdout + done.stderr)
            assert SECRET not in done.stdout + done.stderr


REPEATED = [
    ("ainoflow: {keys: [{id: a, project: p, key: x}, {id: b, project: p, key: x}]}", "ainoflow.keys[1].key: keys[0]"),
    ("ainoflow: {keys: [{id: 7, project: p, key: x}, {id: '7', project: p, key: y}]}", "ainoflow.keys[1].id: keys[0]"),
    ("ainoflow: {projects: [{id: p}, {id: p, quota: {bytes: 1}}]}", "ainoflow.projects[1].id: projects[0]"),
    ("ainoflow: {}\navaamo: {}\nainoflow: {}", "line 3, column 1: this key occurs twice in its map"),
    ("ainoflow: {keys: [{id: a, project: p, id: b}]}", "line 1, column 39: this key"),
    ('{"ainoflow": {"keys": [{"id": "a", "project": "p", "id": "b"}]}}', "line 1, column 52: this key"),
    ('{"ainoflow": {}, "avaamo": {}, "ainoflow": {}}', "line 1, column 32: this key"),
    ("avaamo: {tokens: [{token: x, agents: {8017: edit, '8017': view}}]}", "line 1, column 51: this key"),
    ("avaamo: {tokens: [{token: x, agents: {17: edit, 0x11: view}}]}", "line 1, column 49: this key"),
    ("avaamo: {users: [{layer_id: a, id: 5}, {layer_id: b, id: '5'}]}", "avaamo.users[1].id: users[0]"),
    ("avaamo: {users: [{layer_id: a, id: 5}, {layer_id: a, id: 6}]}", "avaamo.users[1].layer_id: users[0]"),
    ("avaamo: {tokens: [{token: x, id: a}, {token: y, id: a}]}", "avaamo.tokens[1].id: tokens[0]"),
    ("avaamo: {tokens: [{token: x}, {token: x}]}", "avaamo.tokens[1].token: tokens[0]"),
    ("avaamo: {agents: [{id: 1}, {id: '1', remove: true}]}", "avaamo.agents[1].id: agents[0]"),
    ("auravant: {users: [a, {id: a, remove: true}]}", "auravant.users[1]: users[0]"),
    ("auravant: {fields: [{id: 1, permissions: {}}, {id: '1', permissions: {}}]}", "auravant.fields[1].id: fields[0]"),
    (
        "auravant: {tokens: [&a {user: u, extension: e, version: 1}, {user: u, extension: e, version: '1'}]}",
        "auravant.tokens[1]: tokens[0]",
    ),
    ("genesys: {credentials: [{username: a}, {username: a}]}", "genesys.credentials[1].username: credentials[0]"),
    (r'ainoflow: {keys: [{id: a, project: p, key: "x\n"}]}', "ainoflow.keys[0].key: it must be visible ASCII"),
    (r'auravant: {tokens: [{token: "x\n", remove: true}]}', "auravant.tokens[0].token: it must be visible ASCII"),
    (r'avaamo: {tokens: [{token: "x\n"}]}', "avaamo.tokens[0].token: it must be visible ASCII"),
    (r'genesys: {credentials: [{username: "x\n"}]}', "genesys.credentials[0].username: it must be"),
    (r'genesys: {credentials: [{username: x, password: "y\n"}]}', "genesys.credentials[0].password: it must be"),
    ("ainoflow: {keys: [{id: ' a', project: p}]}", "ainoflow.keys[0].id: it must be"),
    ('ainoflow: {projects: [{id: "p\\u00a0"}]}', "ainoflow.projects[0].id: it must be"),
    ("auravant: {fields: [{id: 1, permissions: {'a ': read}}]}", "a key of auravant.fields[0].permissions: it must be"),
    ("auravant: {extensions: [{client_id: 'a '}]}", "auravant.extensions[0].client_id: it must be"),
    ("avaamo: {users: [{layer_id: 'a ', id: 1}]}", "avaamo.users[0].layer_id: it must be"),
    ("avaamo: {users: [{layer_id: a, id: 1, display_name: ' A'}]}", "avaamo.users[0].display_name: it must be"),
]


@pytest.mark.parametrize(("document", "told"), REPEATED, ids=[told for _, told in REPEATED])
def test_entries_without_effect_are_refused_with_their_place(document: str, told: str) -> None:
    assert refused(document).startswith(told)


async def test_a_document_with_one_error_writes_nothing(service: Running, http: ClientSession) -> None:
    document = """
        ainoflow: {keys: [{key: ak-unwritten, id: unwritten, project: p}]}
        avaamo: {users: [{layer_id: a, id: 5}, {layer_id: b, id: 5}]}"""
    status, told = await put_access(http, service, service.admin_token, document)
    assert (status, told["error"]["message"]) == (422, "avaamo.users[1].id: users[0] has the same value")
    assert await whoami(http, service, "ak-unwritten") == 401


async def whoami(http: ClientSession, running: Running, key: str) -> int:
    async with http.get(f"{running.url}/api/v1/whoami", headers=admin(key)) as answer:
        return answer.status


async def test_two_keys_that_swap_their_ids_both_work_afterwards(service: Running, http: ClientSession) -> None:
    """One id gets the key that another one had, in both orders of the document."""
    for first, second in (("ak-x", "ak-y"), ("ak-y", "ak-x")):
        keys = [{"id": "swap-1", "project": "p", "key": first}, {"id": "swap-2", "project": "p", "key": second}]
        document = json.dumps({"ainoflow": {"keys": keys}})
        assert (await put_access(http, service, service.admin_token, document))[0] == 200
        assert [await whoami(http, service, key) for key in ("ak-x", "ak-y")] == [200, 200]


EXPIRING: dict[str, tuple[str, str, dict[str, str]]] = {  # dialect -> part of a document, path, and headers
    "ainoflow": (
        "ainoflow: {keys: [{key: TOKEN, id: TOKEN, project: p, expires: DATE}]}",
        "/api/v1/whoami",
        {"Authorization": "Bearer TOKEN"},
    ),
    "auravant": (
        "auravant: {tokens: [{token: TOKEN, user: UID-owner, extension: ext-a, version: '1', expires: DATE}]}",
        "/publicvalues/user",
        {"Authorization": "Bearer TOKEN"},
    ),
    "avaamo": (
        "avaamo: {tokens: [{token: TOKEN, agents: {8017: view}, expires: DATE}]}",
        "/dashboard/bots/8017/storages.json",
        {"Access-Token": "TOKEN"},
    ),
}


@pytest.mark.parametrize("dialect", EXPIRING)
@pytest.mark.parametrize(
    ("date", "good"),
    [
        ("2020-01-01", False),
        ("'2020-01-01'", False),
        ("2020-01-01T00:00:00Z", False),
        ("2099-01-01", True),
        ("'2099-01-01'", True),
        ("2099-01-01 00:00:00 +02:00", True),
        ("'2099-01-01T00:00'", True),
    ],
)
async def test_an_expiry_that_is_a_date_is_midnight_for_every_token(
    service: Running, http: ClientSession, dialect: str, date: str, good: bool
) -> None:
    document, path, headers = EXPIRING[dialect]
    token = f"date-{next(NUMBER)}"
    document = document.replace("TOKEN", token).replace("DATE", date)
    assert await put_access(http, service, service.admin_token, document) == (200, {"tokens": []})
    shown = {name: value.replace("TOKEN", token) for name, value in headers.items()}
    async with http.get(service.url + path, headers=shown) as answer:
        told = await answer.text()
        assert (answer.status != 401) == good, told
        assert ("expired" in told) == (not good)


def test_a_date_alone_is_midnight_utc() -> None:
    for date in ("2030-01-01", "'2030-01-01'", "2030-01-01T02:00:00+02:00"):
        [section] = access.parse(f"ainoflow: {{keys: [{{id: a, project: p, expires: {date}}}]}}", DIALECTS)
        assert section.declared.keys[0].expires == 1893456000


EXAMPLES = [
    (f"{path.relative_to(ROOT)}:{text[: match.start()].count(chr(10)) + 1}", match[2].replace("\n" + match[1], "\n"))
    for path in (
        *(ROOT / name for name in ("README.md", "service/README.md", "k8s/README.md")),
        *sorted((ROOT / "docs").glob("*.md")),
    )
    for text in [path.read_text()]
    for match in re.finditer(r"^( *)```ya?ml\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    if re.match(rf"({'|'.join(dialect.name for dialect in DIALECTS)}):", match[2].strip())
]


def test_examples_are_found() -> None:
    assert {place.partition(":")[0] for place, _ in EXAMPLES} >= {"README.md", "docs/dialects.md"}


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    """A service to which no document was applied."""
    with Running(access="") as running:
        yield running.wait_ready()


@pytest.fixture
def bare(shared: Running) -> Running:
    """A service with an empty Redis, so that nothing is declared."""
    with shared.redis as client:
        client.config_set("min-replicas-to-write", 0)
        client.flushall()
    return shared


@pytest.mark.parametrize("example", [text for _, text in EXAMPLES], ids=[place for place, _ in EXAMPLES])
async def test_each_example_of_a_page_applies(bare: Running, http: ClientSession, example: str) -> None:
    status, told = await put_access(http, bare, bare.admin_token, example)
    assert status == 200, told


async def test_health_and_metrics_are_answered_while_a_large_document_is_applied(
    bare: Running, http: ClientSession
) -> None:
    """The document is a megabyte of YAML. No request waits for more than a small part of the time of the apply."""
    entries = "".join(f'    - {{key: "ak-{n:048d}", id: "id-{n}", project: "acme"}}\n' for n in range(10_000))
    begun = monotonic()
    applying = asyncio.create_task(put_access(http, bare, bare.admin_token, "ainoflow:\n  keys:\n" + entries))
    waits: list[float] = []
    while not applying.done():
        for path in ("/healthz", "/metrics"):
            asked = monotonic()
            async with http.get(bare.ops_url + path) as answer:
                assert answer.status == 200
            waits.append(monotonic() - asked)
        await asyncio.sleep(0.01)
    assert await applying == (200, {"tokens": []})
    assert len(waits) > 10
    assert max(waits) < (monotonic() - begun) / 3
    assert await whoami(http, bare, f"ak-{9999:048d}") == 200


@pytest.mark.parametrize("filler", [0, 20_000])
async def test_small_and_large_documents_get_the_same_answer(bare: Running, http: ClientSession, filler: int) -> None:
    """Large ones are applied by another process."""
    comment = "#" * filler + "\n"
    good = comment + "ainoflow: {keys: [{id: a, project: p}]}"
    status, told = await put_access(http, bare, bare.admin_token, comment + "ainoflow: {keys: [{id: a}]}")
    assert (status, told["error"]["message"]) == (422, "ainoflow.keys[0]: it needs a project")
    status, told = await put_access(http, bare, bare.admin_token, good)
    assert (status, told["tokens"][0]["id"]) == (200, "a")
    assert await whoami(http, bare, told["tokens"][0]["token"]) == 200
    with bare.redis as client:
        client.config_set("min-replicas-to-write", 1)
    status, told = await put_access(http, bare, bare.admin_token, good)
    assert (status, told["error"]["message"].partition(":")[0]) == (503, "redis")
