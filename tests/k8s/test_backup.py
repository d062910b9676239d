"""Tests the component that exports everything each night, and its import: the objects and the commands."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service import __version__
from tests.k8s import kustomize
from tests.k8s.kustomize import K8S, Object
from tests.records import RECORDS, Client
from tests.running import ROOT, Running, environment

FOLDER = K8S / "backup"
OBJECTS: list[Object] = [
    each
    for name in yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    for each in yaml.safe_load_all((FOLDER / name).read_text())
]
PODS: dict[str, Any] = {
    each["metadata"]["name"]: each["spec"]["jobTemplate"]["spec"]["template"]
    for each in OBJECTS
    if each["kind"] == "CronJob"
}
EXPORT, IMPORT = PODS["polystow-backup"], PODS["polystow-import"]


def named(each: Object) -> tuple[str, str]:
    return each["kind"], each["metadata"]["name"]


def container(pod: Any) -> Any:
    (found,) = pod["spec"]["containers"]
    return found


@pytest.mark.parametrize("each", OBJECTS, ids=lambda each: f"{each['kind']} {each['metadata']['name']}")
def test_kubernetes_knows_every_field(each: Object) -> None:
    kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)
    assert each["metadata"]["labels"] == {"app.kubernetes.io/name": "polystow-backup"}


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_the_pod_of_a_backup_is_restricted_and_not_selected_by_the_service(pod: Any) -> None:
    service = yaml.safe_load((K8S / "base" / "deployment.yaml").read_text())["spec"]["template"]
    assert pod["metadata"]["labels"] != service["metadata"]["labels"]
    assert container(pod)["image"] == f"polystow:{__version__}"
    assert container(pod)["securityContext"] == service["spec"]["containers"][0]["securityContext"]
    assert pod["spec"]["securityContext"].items() >= service["spec"]["securityContext"].items()
    assert pod["spec"]["serviceAccountName"] == "polystow-backup"
    assert pod["spec"]["automountServiceAccountToken"] is pod["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_the_backup_uses_the_redis_of_the_service(pod: Any) -> None:
    patch = yaml.safe_load((K8S / "overlays" / "single" / "redis-url.yaml").read_text())
    (variable,) = patch["spec"]["template"]["spec"]["containers"][0]["env"]
    assert variable in container(pod)["env"]


@pytest.mark.parametrize("way", kustomize.ways())
def test_an_overlay_accepts_the_component(way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The change that README.md describes: one more line in the components of the overlay."""
    shutil.copytree(K8S, tmp_path / "k8s")
    monkeypatch.setattr(kustomize, "K8S", tmp_path / "k8s")
    file = tmp_path / "k8s" / "overlays" / "single" / "kustomization.yaml"
    build = kustomize.ways()[way]
    before = build("single")
    file.write_text(file.read_text().replace("components:\n", "components:\n  - ../../backup\n"))
    after = build("single")
    added = [each for each in after if each not in before]
    assert len(after) == len(before) + len(added)
    assert {named(each) for each in added} == {named(each) for each in OBJECTS}
    for each in added:
        assert each["metadata"]["namespace"] == "polystow"
        (written,) = (one for one in OBJECTS if named(one) == named(each))
        assert each.get("spec") == written.get("spec")


def test_an_import_is_never_scheduled() -> None:
    (job,) = (each for each in OBJECTS if each["metadata"]["name"] == "polystow-import")
    assert job["spec"]["suspend"] is True
    assert container(IMPORT)["volumeMounts"][0]["readOnly"] is True


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A folder that stands for the volume of backups, and beside it the program of the image."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "polystow").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m service "$@"\n')
    (programs / "polystow").chmod(0o755)
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups"


def run(pod: Any, volume: Path, running: Running, **variables: str) -> str:
    """Run the command of a pod against the Redis of a service, and return what it has printed."""
    given = environment({"redis_url": f"unix://{running.data_dir}/redis.sock"})
    path = f"{volume.parent / 'programs'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        container(pod)["command"],
        cwd=ROOT,
        env=given | {"BACKUPS": str(volume), "EXPORT": "", "PATH": path} | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_commands_make_exports_keep_fourteen_and_import_them(service: Running, volume: Path) -> None:
    for record in RECORDS:
        record.write(Client(service.url))
    wanted = {record.name: record.read(Client(service.url)) for record in RECORDS}
    for day in range(1, 21):
        (volume / f"202001{day:02}T021700Z.ndjson.zst").touch()
    run(EXPORT, volume, service)
    kept = sorted(volume.iterdir())
    assert len(kept) == 14
    assert kept[0].name == "20200108T021700Z.ndjson.zst"
    for variables in ({}, {"EXPORT": str(kept[-1])}):
        with Running(access="") as other:
            other.wait_ready()
            run(IMPORT, volume, other, **variables)
            assert {record.name: record.read(Client(other.url)) for record in RECORDS} == wanted
