"""Tests the command line: its output and its exit status."""

import json
from pathlib import Path

import pytest

from service import __version__
from service.__main__ import main
from tests.running import Running, polystow


def test_the_command_prints_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"polystow {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["sreve"], ["serve", "--prot", "1"], ["serve", "--por", "1"], ["access"], ["access", "apply"]]
)
def test_wrong_arguments_are_refused_with_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: polystow" in capsys.readouterr().err


def test_an_invalid_value_is_refused_in_one_line_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--workers", "many"]) == 2
    expected = "polystow: --workers must be a whole number from 1 to 256, not 'many'\n"
    assert capsys.readouterr().err == expected


def test_help_names_each_flag_with_its_variable_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "--ops-port" in shown
    assert "[POLYSTOW_OPS_PORT; 8081]" in shown


def test_the_worker_command_is_not_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "worker" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("document", "said"), [(None, "No such file"), ("[", "not YAML"), ("nonsense: {}", "no such dialect")]
)
@pytest.mark.parametrize("command", ["serve", "apply"])
def test_an_unusable_access_document_is_refused_with_status_2(
    service: Running, tmp_path: Path, command: str, document: str | None, said: str
) -> None:
    file = tmp_path / "access.yaml"
    if document is not None:
        file.write_text(document)
    arguments = ("serve", "--access") if command == "serve" else ("access", "apply")
    redis_url = f"unix://{service.data_dir}/redis.sock"
    done = polystow(*arguments, str(file), redis_url=redis_url, port=0, ops_port=0)
    assert done.returncode == 2
    message = done.stderr.splitlines()[-1]
    assert message.startswith(f"polystow: {file}: ")
    assert said in message


def test_access_apply_without_a_running_service_writes_to_its_data_directory(tmp_path: Path) -> None:
    with Running() as running:
        running.wait_ready()
        assert running.stop() == 0
        done = polystow(
            *("access", "apply", "-"),
            stdin=b"ainoflow: {keys: [{id: offline, project: acme}]}",
            data_dir=running.data_dir,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["id"] == "offline"


def test_an_unknown_variable_is_reported(tmp_path: Path) -> None:
    done = polystow("access", "apply", str(tmp_path / "none"), data_dirr="x")
    assert "POLYSTOW_DATA_DIRR is not a setting" in done.stderr


@pytest.mark.parametrize("command", [("access", "apply", "-"), ("fsck",)])
def test_an_unreachable_redis_ends_with_a_message_and_status_1(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = polystow(*command, "--redis", f"unix://{tmp_path}/none.sock", stdin=b"ainoflow: {}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("polystow: ")
    assert "Traceback" not in done.stderr


def test_an_unusable_redis_server_ends_with_a_message_and_status_1(tmp_path: Path) -> None:
    done = polystow("fsck", data_dir=tmp_path, redis_server="/nowhere/redis-server")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("polystow: ")


def test_fsck_does_not_create_a_data_directory(tmp_path: Path) -> None:
    done = polystow("fsck", data_dir=tmp_path / "misspelt")
    assert done.returncode == 2
    assert "misspelt does not exist" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_fsck_finds_nothing_beside_a_running_service(service: Running) -> None:
    done = polystow("fsck", "--data-dir", str(service.data_dir))
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_unknown_dialect_is_refused_with_status_2() -> None:
    done = polystow("serve", dialects="ainoflow,gopher")
    assert done.returncode == 2
    assert done.stderr.startswith("polystow: POLYSTOW_DIALECTS: no such dialect: gopher")


def test_a_redis_of_your_own_needs_a_signing_key_if_urls_are_signed(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/none.sock"
    done = polystow("serve", "--redis", url, port=0, ops_port=0, signing_key="")
    assert done.returncode == 2
    assert "POLYSTOW_SIGNING_KEY" in done.stderr.splitlines()[-1]
    done = polystow("serve", "--redis", url, port=0, ops_port=0, signing_key="", dialects="ainoflow,genesys")
    assert (done.returncode, "POLYSTOW_SIGNING_KEY" in done.stderr) == (1, False)
