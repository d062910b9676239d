"""Tests `polystow verify`: no differences at the service itself, and each change by a proxy is named."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from service.remote.client import Reply
from service.settings import BadSetting
from service.verification.command import run
from service.verification.conversations import load, shipped
from tests.dialects.ainoflow.client import open_project
from tests.dialects.auravant.client import CALLERS
from tests.dialects.avaamo.client import open_agent
from tests.remote.proxy import Forward, proxied
from tests.running import ROOT, Running, polystow

DIALECTS = ["ainoflow", "auravant", "avaamo", "genesys"]


@dataclass(frozen=True)
class Target:
    """A service and the environment with the credentials of an empty project of it."""

    dialect: str
    url: str
    environ: Mapping[str, str]

    async def verify(self, against: str | None = None, report: Path | None = None, *, beyond: bool = True) -> int:
        token_env = "TOKEN" if "TOKEN" in self.environ else None
        return await run(
            self.dialect,
            against or self.url,
            token_env,
            self.environ,
            beyond=beyond,
            report=str(report) if report else None,
        )


async def target(dialect: str, service: Running, http: ClientSession) -> Target:
    environ: dict[str, str] = {}
    if dialect == "ainoflow":
        environ["TOKEN"] = (await open_project(service, http)).key
    if dialect == "auravant":
        environ = {"TOKEN" if name == "token" else f"TOKEN_{name.upper()}": each for name, each in CALLERS.items()}
    if dialect == "avaamo":
        agent = await open_agent(service, http)
        environ = {"TOKEN": agent.token, "TOKEN_AGENT": str(agent.agent)}
    return Target(dialect, service.url, environ)


@pytest.fixture(params=DIALECTS)
async def each(request: pytest.FixtureRequest, service: Running, http: ClientSession) -> Target:
    return await target(request.param, service, http)


@pytest.fixture
async def documents(service: Running, http: ClientSession) -> Target:
    return await target("ainoflow", service, http)


def count(dialect: str, *, beyond: bool) -> int:
    return sum(len(list(load(path))) for path in shipped(dialect, beyond=beyond))


@pytest.mark.parametrize("beyond", [False, True])
async def test_nothing_differs_at_the_service_itself(
    each: Target, capsys: pytest.CaptureFixture[str], tmp_path: Path, beyond: bool
) -> None:
    for _ in range(2):  # the first run leaves nothing that stops the second
        assert await each.verify(report=tmp_path / "report.json", beyond=beyond) == 0, capsys.readouterr().out
    told = json.loads((tmp_path / "report.json").read_text())
    exchanges = count(each.dialect, beyond=beyond)
    assert told["findings"] == []
    assert (told["exchanges"], told["as_written"]) == (exchanges, exchanges)
    assert exchanges >= 10
    assert f"{exchanges} as written, 0 different, 0 not sent\n" in capsys.readouterr().out


async def test_a_changed_header_and_a_changed_number_are_both_named(
    documents: Target, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async def behaviour(request: web.Request, forward: Forward) -> Reply:
        reply = await forward()
        headers = dict(reply.headers)
        if "X-Total-Pages" in headers:
            headers["X-Total-Pages"] = "x" + headers["X-Total-Pages"]
        return Reply(reply.status, headers, reply.body.replace(b'"size":157', b'"size":158'))

    async with proxied(documents.url, behaviour) as url:
        assert await documents.verify(url, tmp_path / "report.json", beyond=False) == 1
    told = json.loads((tmp_path / "report.json").read_text())
    found = {
        (finding["method"], finding["path"], each["part"], each["expected"], each["got"])
        for finding in told["findings"]
        for each in finding["differences"]
    }
    path = "/api/v1/storage/json"
    assert found == {
        ("GET", f"{path}/invoices", "header X-Total-Pages", "1", "x1"),
        ("GET", f"{path}/invoices", "member [0].size", "157", "158"),
        ("GET", f"{path}/events?aggregate=true&page=2&limit=2", "header X-Total-Pages", "2", "x2"),
        ("GET", f"{path}/invoices/inv-12345/meta", "member size", "157", "158"),
    }
    out = capsys.readouterr().out
    assert "  GET /api/v1/storage/json/invoices\n" in out
    assert "  member [0].size\n    - 157\n    + 158\n" in out


async def test_a_throttled_request_is_repeated(documents: Target) -> None:
    asked: list[str] = []

    async def behaviour(request: web.Request, forward: Forward) -> Reply:
        asked.append(request.raw_path)
        return Reply(429, {"Retry-After": "0"}, b"") if len(asked) % 5 == 0 else await forward()

    async with proxied(documents.url, behaviour) as url:
        assert await documents.verify(url, beyond=False) == 0
    assert len(asked) > count("ainoflow", beyond=False)


async def test_a_lost_connection_is_reported_as_a_difference(documents: Target, tmp_path: Path) -> None:
    async def behaviour(request: web.Request, forward: Forward) -> Reply | None:
        return None if request.raw_path.endswith("/meta") else await forward()

    async with proxied(documents.url, behaviour) as url:
        assert await documents.verify(url, tmp_path / "report.json", beyond=False) == 1
    (finding,) = json.loads((tmp_path / "report.json").read_text())["findings"]
    assert finding["title"] == "Get Document Metadata"
    assert finding["differences"][0]["part"] == "answer"


async def test_a_project_with_data_is_refused(service: Running, http: ClientSession) -> None:
    project = await open_project(service, http)
    await project.put("mine", "k", b'{"mine":1}')
    with pytest.raises(BadSetting, match="the project must be empty, but it has documents in mine"):
        await Target("ainoflow", service.url, {"TOKEN": project.key}).verify()
    assert (await project.ask("GET", "/api/v1/storage/json/mine/k")).body == b'{"mine":1}'


async def test_exchanges_with_unknown_values_are_named(
    service: Running, http: ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = Target("auravant", service.url, {"TOKEN": CALLERS["token"]})
    assert await alone.verify() == 1
    out = capsys.readouterr().out
    assert "not sent: the value of {{owner}} is missing\n" in out
    assert "environment variables: TOKEN_OWNER, TOKEN_OWNER_B, TOKEN_OWNER_OLD, TOKEN_READER, TOKEN_STRANGER\n" in out
    assert re.search(r" as written, 0 different, [1-9]\d* not sent\n", out)


async def test_the_page_declares_and_names_the_values_that_auravant_needs(
    serve: Callable[..., Running], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The service has only the access document of docs/verifying.md, and the variables that the page exports."""
    page = (ROOT / "docs" / "verifying.md").read_text()
    (document,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "access.yaml").write_text(document)
    exported = dict(re.findall(r"(TOKEN\w*)=(verify-\S+)", page))
    running = serve(access=tmp_path / "access.yaml")
    assert await Target("auravant", running.url, exported).verify() == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense", "--against", "http://x", "--token-env", "TOKEN"], "DIALECT must be one of ainoflow, "),
        (["ainoflow", "--against", "x", "--token-env", "TOKEN"], "must be a URL such as "),
        (["ainoflow", "--against", "http://x", "--token-env", "NONE"], "the environment variable NONE is not set"),
        (["ainoflow", "--against", "http://x"], "ainoflow needs a credential"),
        (["avaamo", "--against", "http://x", "--token-env", "TOKEN"], "TOKEN_AGENT"),
    ],
)
def test_wrong_arguments_end_with_status_2(arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "t")
    done = polystow("verify", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_an_unreachable_server_ends_with_status_1(service: Running) -> None:
    done = polystow("verify", "genesys", "--against", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert "no answer" in done.stderr
