"""Tests the image without an engine: its rules, its build steps, and the service that they produce."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from service.settings import Settings
from tests.k8s.dockerfile import Workshop, context, stages
from tests.k8s.kustomize import Object
from tests.k8s.objects import named
from tests.k8s.wheels import wheels
from tests.running import ROOT, Running
from tests.servers import RedisProcess, binaries

# The first test of a worker waits for the build, which installs packages and compiles them.
pytestmark = pytest.mark.timeout(func_only=True)

STAGES = stages()
SERVICE = STAGES["service"]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The result of the build stage, made by its own commands, with the packages that are installed here."""
    packages = tmp_path_factory.mktemp("wheels")
    wheels(packages)
    workshop = Workshop(tmp_path_factory.mktemp("image"), packages)
    workshop.run(STAGES["build"])
    return workshop


@pytest.fixture(scope="module")
def running(image: Workshop) -> Iterator[Running]:
    """The image's own program with the image's own settings."""
    with RedisProcess(binaries()[0][1], tcp=True) as redis:
        given = dict(pair.split("=", 1) for text in SERVICE.all("ENV") for pair in text.split())
        settings: dict[str, Any] = {
            name[9:].lower(): value for name, value in given.items() if name.startswith("POLYSTOW_")
        }
        with Running(program=image.at("/opt/polystow/bin/polystow"), redis_url=redis.url, **settings) as started:
            yield started.wait_ready()


def test_only_needed_files_are_sent_to_the_builder() -> None:
    assert {path.name for path in context()} == {
        "pyproject.toml",
        "constraints.txt",
        "README.md",
        "LICENSE",
        "service",
        "lua",
        "bench",
    }


def test_the_last_stages_contain_no_commands_and_no_tools() -> None:
    """An intruder finds no compiler and no package manager that we have added, and has no rights."""
    assert list(STAGES)[-1] == "service"
    for stage in (SERVICE, STAGES["loadtest"]):
        assert stage.all("RUN") == []
        assert stage.base == "${PYTHON}"
        assert all("/opt/polystow /opt/polystow" in text or text == "bench bench" for text in stage.all("COPY"))
        (user,) = stage.all("USER")
        assert re.fullmatch(r"[1-9][0-9]{4,}:[1-9][0-9]{4,}", user)
        assert json.loads(stage.all("ENTRYPOINT")[0])
        assert "org.opencontainers.image.licenses" in stage.all("LABEL")[0]


def test_the_base_image_has_a_version() -> None:
    (base,) = re.findall(r"^ARG PYTHON=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert re.fullmatch(r"python:3\.1[1-3]\.[0-9]+-slim-[a-z]+", base)


def test_ports_are_those_of_the_settings() -> None:
    assert SERVICE.all("EXPOSE") == [f"{Settings().port} {Settings().ops_port}"]
    assert SERVICE.all("STOPSIGNAL") == ["SIGTERM"]


@pytest.mark.parametrize(
    ("overlay", "kind", "name", "stage"),
    [
        ("single", "Deployment", "polystow", "service"),
        ("loadtest", "Job", "loadtest-master", "loadtest"),
    ],
)
def test_kubernetes_runs_it_as_the_user_of_the_image(
    built: dict[str, dict[str, list[Object]]], overlay: str, kind: str, name: str, stage: str
) -> None:
    pod = named(built["reading"][overlay], kind, name)["spec"]["template"]["spec"]["securityContext"]
    assert STAGES[stage].all("USER") == [f"{pod['runAsUser']}:{pod['runAsGroup']}"]


def test_the_image_has_the_pinned_packages_and_no_pip(image: Workshop) -> None:
    packages = next(image.at("/opt/polystow/lib").glob("python*")) / "site-packages"
    installed = {path.name.rsplit(".", 1)[0].lower() for path in packages.glob("*.dist-info")}
    pinned = {
        line.lower().replace("-", "_").replace("==", "-") for line in (ROOT / "constraints.txt").read_text().split()
    }
    assert len(installed) > 9
    assert {name for name in installed if not name.startswith("polystow-")} <= pinned
    assert not (packages / "pip").exists()
    assert sorted(path.name for path in (ROOT / "lua").rglob("*.lua")) == sorted(
        path.name for path in (packages / "service" / "lua").rglob("*.lua")
    )
    assert list((packages / "service").rglob("*.pyc")), "a read-only root takes no bytecode later"


def test_the_image_serves_requests(running: Running) -> None:
    port = running.ops_url.rpartition(":")[2]
    with urlopen(f"http://127.0.0.1:{port}/readyz") as answer:
        assert answer.status == 200
    url = f"http://127.0.0.1:{running.url.rpartition(':')[2]}/api/v1/storage/json/image/one"
    key = {"Authorization": "Bearer ak-1"}
    with urlopen(Request(url, b'{"total": 1250.00}', key, method="PUT")) as answer:
        assert answer.status == 200
    with urlopen(Request(url, headers=key)) as answer:
        assert answer.read() == b'{"total": 1250.00}'


def test_the_container_writes_nothing(image: Workshop, running: Running) -> None:
    """A read-only root file system is enough. The service in the test before this one ran with it."""
    newest = max(path.stat().st_ctime_ns for path in image.at("/opt/polystow").rglob("*"))
    assert newest < Path(f"/proc/{running.process.pid}").stat().st_ctime_ns
    assert list(running.directory.iterdir()) == []
    files = [
        os.readlink(path)
        for pid in (running.process.pid, *running.worker_pids())
        for path in Path(f"/proc/{pid}/fd").iterdir()
    ]
    assert not [
        path
        for path in files
        if path.startswith("/")
        and not path.startswith(("/dev/", "/proc/"))
        and Path(path).parent != running.directory.parent
    ]


def test_the_container_listens_on_all_addresses(running: Running) -> None:
    assert running.url.startswith("http://0.0.0.0:")


def test_the_health_check_succeeds_only_while_the_service_runs(running: Running, image: Workshop) -> None:
    command = json.loads(SERVICE.all("HEALTHCHECK")[0].partition("CMD ")[2])
    path = f"{image.at('/opt/polystow/bin')}:{os.environ['PATH']}"
    for port, status in ((running.ops_url.rpartition(":")[2], 0), ("1", 1)):
        done = subprocess.run(command, env={"PATH": path, "POLYSTOW_OPS_PORT": port}, capture_output=True, timeout=30)
        assert done.returncode == status


def test_without_a_redis_the_container_names_the_missing_setting(image: Workshop, tmp_path: Path) -> None:
    command = [str(image.at("/opt/polystow/bin/polystow")), "serve", "--port", "0", "--ops-port", "0"]
    done = subprocess.run(command, env={"PATH": "/nowhere"}, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "or a running Redis with --redis" in done.stderr


def test_the_dockerfile_passes_its_linter() -> None:
    """The linter is called as by `make lint`, and a Dockerfile with an error must fail."""
    linter = Path(sys.executable).with_name("hadolint")
    for text, status in (((ROOT / "Dockerfile").read_text(), 0), ("FROM python\nRUN cd /x\n", 1)):
        done = subprocess.run([str(linter), "-"], input=text, capture_output=True, text=True, timeout=30)
        assert done.returncode == status, done.stdout
