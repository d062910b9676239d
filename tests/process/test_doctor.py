"""Tests that `polystow doctor` finds each wrong configuration of Redis, settings and access document, with a remedy."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.operations import contradictions, diagnosis, doctor
from service.redis.check import Finding, Server
from service.settings import Settings
from service.storage.scripts import library
from tests.running import SIGNING_KEY, Running, polystow
from tests.servers import RedisProcess, binaries

ACCESS = "ainoflow: {keys: [{key: ak-1, id: a, project: p}]}"
KEYS = (SIGNING_KEY,)
APPLIED = ("SET", "polystow:epoch", "1")


@pytest.fixture(scope="module")
def server() -> Iterator[RedisProcess]:
    """A server with a correct configuration."""
    with RedisProcess(binaries()[0][1], "--appendonly", "yes") as process:
        process.command(*APPLIED)
        yield process


def examined(url: str, **settings: Any) -> tuple[int, str]:
    """Run `polystow doctor`; return its exit status and output."""
    said: list[str] = []
    status = asyncio.run(doctor.run(Settings(redis_url=url, signing_key=KEYS, **settings), said.append))
    return status, "\n".join(said)


def test_without_problems_doctor_prints_figures_and_exits_0(server: RedisProcess) -> None:
    done = polystow("doctor", redis_url=server.url)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line[:6].strip() for line in lines[:-1]] == ["ok"] * 4
    assert lines[-1] == "0 findings"


def test_doctor_reports_a_running_service_without_an_access_document(
    serve: Callable[..., Running], tmp_path: Path
) -> None:
    running = serve(access="")
    done = polystow("doctor", data_dir=running.data_dir)
    assert done.returncode == 1
    assert "no access document" in done.stdout
    assert done.stdout.endswith("1 finding\n")
    document = tmp_path / "access.yaml"
    document.write_text(ACCESS)
    document.chmod(0o600)
    done = polystow("doctor", data_dir=running.data_dir, access=document)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "0 findings"), done.stdout


def test_without_a_running_redis_doctor_says_so_and_creates_nothing(tmp_path: Path) -> None:
    for data_dir, said in ((tmp_path / "none", "it does not exist yet"), (tmp_path, "no Redis runs on it")):
        done = polystow("doctor", data_dir=data_dir)
        assert (done.returncode, done.stderr) == (0, "")
        assert said in done.stdout
        assert list(tmp_path.iterdir()) == []


def test_a_directory_that_lost_its_data_is_found_without_a_running_redis(serve: Callable[..., Running]) -> None:
    running = serve()
    assert running.stop() == 0
    shutil.rmtree(running.data_dir / "appendonlydir", ignore_errors=True)
    (running.data_dir / "appendonly.aof").unlink(missing_ok=True)
    before = sorted(running.data_dir.iterdir())
    done = polystow("doctor", data_dir=running.data_dir)
    assert done.returncode == 1
    assert "Redis would start empty" in done.stdout
    assert sorted(running.data_dir.iterdir()) == before


CONFIGURED = [
    (("appendfsync", "no"), "warn", "appendfsync is no"),
    (("no-appendfsync-on-rewrite", "yes"), "warn", "while the file is rewritten"),
    (("min-replicas-to-write", "1"), "refuse", "0 replicas are connected"),
    (("maxmemory-policy", "allkeys-lru"), "warn", "allkeys-lru"),
    (("maxmemory", "1000000000000"), "warn", "of the machine's memory"),
    (("proto-max-bulk-len", "1mb"), "refuse", "proto-max-bulk-len"),
    (("client-query-buffer-limit", "1mb"), "refuse", "client-query-buffer-limit"),
    (("timeout", "30"), "warn", "timeout is 30"),
    (("client-output-buffer-limit", "normal 1mb 0 0"), "warn", "client-output-buffer-limit"),
    (("maxclients", "10"), "warn|refuse", "maxclients is 10"),
]


@pytest.mark.parametrize(("setting", "level", "text"), CONFIGURED, ids=[" ".join(row[0]) for row in CONFIGURED])
def test_each_wrong_setting_of_redis_is_found(
    server: RedisProcess, setting: tuple[str, str], level: str, text: str
) -> None:
    name, value = setting
    before = server.command("CONFIG", "GET", name)[name.encode()]
    server.command("CONFIG", "SET", name, value)
    try:
        status, said = examined(server.url)
    finally:
        server.command("CONFIG", "SET", name, before)
    found = [line for line in said.splitlines() if text in line]
    assert status == 1
    assert found, said
    assert found[0].split()[0] in level.split("|")


def test_a_memory_that_is_nearly_full_is_found(server: RedisProcess) -> None:
    used = server.command("INFO", "memory")["used_memory"]
    server.command("CONFIG", "SET", "maxmemory", used)
    try:
        status, said = examined(server.url)
    finally:
        server.command("CONFIG", "SET", "maxmemory", "0")
    (found,) = [line for line in said.splitlines() if "of maxmemory" in line]
    assert status == 1
    assert found.split()[0] in ("warn", "refuse"), "the memory that is used changes a little"


def test_each_finding_names_a_remedy(server: RedisProcess) -> None:
    server.command("CONFIG", "SET", "timeout", "30")
    try:
        _, said = examined(server.url)
    finally:
        server.command("CONFIG", "SET", "timeout", "0")
    lines = said.splitlines()
    assert [line for line in lines if line.startswith("       -> ")] == ["       -> CONFIG SET timeout 0"]


def test_a_server_that_loses_data_is_found() -> None:
    with RedisProcess(binaries()[0][1]) as process:
        process.command(*APPLIED)
        assert "a restart loses all data" in examined(process.url)[1]
        process.command("CONFIG", "SET", "save", "3600 1")
        assert "loses what came after the last snapshot" in examined(process.url)[1]


def test_a_snapshot_that_failed_is_found(server: RedisProcess) -> None:
    (server.directory / "dump.rdb").mkdir()
    try:
        server.command("BGSAVE")
        for _ in range(200):
            status, said = examined(server.url)
            if status:
                break
        assert "the last snapshot failed" in said
    finally:
        (server.directory / "dump.rdb").rmdir()
        server.command("SAVE")


def test_a_command_that_the_server_forbids_is_found() -> None:
    with RedisProcess(binaries()[0][1], "--appendonly", "yes", "--rename-command", "UNLINK", "") as process:
        process.command(*APPLIED)
        assert "does not let the service use UNLINK" in examined(process.url)[1]
        process.command("ACL", "SETUSER", "meek", "on", ">x", "~*", "+@all", "-fcall", "-function|load")
        said = examined(process.url.replace("unix://", "unix://meek:x@"))[1]
        assert "does not let the service use FCALL, FUNCTION LOAD, UNLINK" in said


def test_an_unreachable_server_is_found() -> None:
    done = polystow("doctor", redis_url="unix:///nowhere/redis.sock")
    assert done.returncode == 1
    assert "cannot connect" in done.stdout
    assert "-> start it" in done.stdout


def test_the_function_libraries_are_listed(server: RedisProcess) -> None:
    whole = library.installed()
    server.command("FUNCTION", "FLUSH")
    assert f"functions: {whole.name} is not yet there, and 0 of other versions" in examined(server.url)[1]
    server.command("FUNCTION", "LOAD", whole.text)
    server.command("FUNCTION", "LOAD", whole.text.replace(whole.digest, "0123456789abcdef"))
    status, said = examined(server.url)
    server.command("FUNCTION", "FLUSH")
    assert status == 0
    assert f"functions: {whole.name} is there, and 1 of other versions" in said


SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"port": 9000, "ops_port": 9000}, "are both 9000"),
    ({"appendfsync": "always"}, "POLYSTOW_APPENDFSYNC is for the embedded Redis"),
    ({"redis_server": Path("redis-server")}, "POLYSTOW_REDIS_SERVER is for the embedded Redis"),
    ({"request_timeout": 30.0}, "is cut off"),
    ({"workers": 255}, "255 workers share"),
    ({"admin_token": "secret"}, "it can be guessed"),
    ({"cors_origins": ("*", "https://a")}, "add nothing"),
    ({"access": Path("/nowhere.yaml")}, "No such file"),
    ({"read_replicas": True}, "none is read"),
    ({"public_url": "https://storage.example:99999"}, "names no host and port"),
    ({"public_url": "https://."}, "names no host and port"),
    ({"dialects": ("ainoflow",), "genesys_max_parts": 10}, "leaves genesys out"),
    ({"genesys_allow_file_control": True}, "every file gets 403"),
    ({"genesys_allowed_mime_types": ("image/png",)}, "every file is accepted"),
    ({"genesys_max_part_bytes": 2**20, "genesys_max_request_bytes": 2**19}, "never accepted"),
]


@pytest.mark.parametrize(("settings", "text"), SETTINGS, ids=[row[1] for row in SETTINGS])
def test_each_contradiction_of_settings_is_found(settings: dict[str, Any], text: str) -> None:
    [finding] = contradictions.of_settings(Settings(redis_url="redis://x", signing_key=KEYS, **settings))
    assert text in finding.text
    assert finding.remedy


def test_a_missing_signing_key_is_found_if_it_is_needed() -> None:
    [finding] = contradictions.of_settings(Settings(redis_url="redis://x"))
    assert finding.level == "refuse"
    assert "POLYSTOW_SIGNING_KEY" in finding.text
    assert [*contradictions.of_settings(Settings())] == []
    assert [*contradictions.of_settings(Settings(redis_url="redis://x", dialects=("ainoflow",)))] == []


@pytest.mark.parametrize(
    "settings",
    [
        {"genesys_allow_file_control": True, "genesys_allowed_mime_types": ("image/png",)},
        {"public_url": "https://storage.example:8443/base"},
        {"public_url": "http://[::1]:8080"},
        {"redis_url": "redis+sentinel://a/b", "read_replicas": True},
        {"dialects": ("ainoflow", "genesys"), "genesys_max_parts": 10},
        {"dialects": ("ainoflow",)},
    ],
)
def test_consistent_settings_have_no_findings(settings: dict[str, Any]) -> None:
    assert list(contradictions.of_settings(Settings(signing_key=KEYS, **settings))) == []


def test_no_secret_is_printed() -> None:
    [finding] = contradictions.of_settings(Settings(admin_token="hunter2"))
    assert "hunter2" not in finding.text + finding.remedy


@pytest.mark.parametrize(
    ("text", "mode", "found"),
    [
        (ACCESS, 0o600, ""),
        (ACCESS, 0o644, "every user of this machine may read it"),
        ("ainoflow: [1]", 0o600, "ainoflow"),
        ("nonsense: {}", 0o600, "no such dialect"),
        ("{", 0o600, "not YAML"),
    ],
)
def test_an_access_document_is_examined(tmp_path: Path, text: str, mode: int, found: str) -> None:
    document = tmp_path / "access.yaml"
    document.write_text(text)
    document.chmod(mode)
    said = [finding.text for finding in contradictions.of_document(document)]
    assert len(said) == bool(found)
    assert found in "".join(said)


def one(found: list[Finding]) -> str:
    assert len(found) == 1
    return found[0].text


def test_a_disk_that_is_full_or_nearly_is_judged(tmp_path: Path) -> None:
    assert list(diagnosis.of_disk(tmp_path, 2**30)) == []
    assert [next(diagnosis.of_disk(tmp_path, free)).level for free in (0, 2**24)] == ["refuse", "warn"]


def test_clocks_latency_and_other_servers_are_judged() -> None:
    assert list(diagnosis.of_clocks(0.9, 1.0)) == list(diagnosis.of_latency(0.004, 0.005)) == []
    assert "5.0 s apart" in one(list(diagnosis.of_clocks(-5, 1.0)))
    assert "takes 20.0 ms" in one(list(diagnosis.of_latency(0.020, 0.005)))
    assert "generates new ones" in one(list(diagnosis.of_scripts({"number_of_cached_scripts": "5000"})))


@pytest.mark.parametrize(
    ("info", "text"),
    [
        ({"used_memory": "60", "total_system_memory": "100"}, "has no maxmemory"),
        ({"used_memory": "97", "total_system_memory": "100"}, "97% of the machine's memory"),
        ({"used_memory": "400000000", "used_memory_rss": "900000000"}, "2.2 times"),
        ({"aof_enabled": "1", "aof_last_write_status": "err"}, "could not be written"),
        ({"aof_enabled": "1", "aof_last_bgrewrite_status": "err"}, "could not be rewritten"),
    ],
)
def test_the_state_that_a_server_reports_is_judged(info: dict[str, str], text: str) -> None:
    assert text in one(list(diagnosis.of_server(Server(info=info), {}, Settings())))


def test_after_a_full_disk_a_server_of_your_own_is_told_to_rewrite_its_file() -> None:
    """The service asks only the embedded Redis for a rewrite."""
    info = {"aof_enabled": "1", "aof_last_write_status": "err"}
    for settings, told in ((Settings(), False), (Settings(redis_url="redis://localhost"), True)):
        [finding] = diagnosis.of_server(Server(info=info), {}, settings)
        assert ("then run BGREWRITEAOF" in finding.remedy) is told


def test_a_server_without_tracking_is_found() -> None:
    with RedisProcess(binaries()[0][1], "--appendonly", "yes") as process:
        process.command(*APPLIED)
        process.command("ACL", "SETUSER", "meek", "on", ">x", "~*", "&*", "+@all", "-client|tracking")
        url = process.url.replace("unix://", "unix://meek:x@")
        assert "does not tell which keys change" in examined(url)[1]
        assert "which keys change" not in examined(process.url)[1]
        assert "which keys change" not in examined(url, read_cache_bytes=0)[1]
