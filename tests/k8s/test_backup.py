"""The component that exports everything each night: what Kubernetes gets of it, and what its command does."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service import __version__
from tests.k8s.kustomize import K8S, Object
from tests.records import RECORDS, Client
from tests.running import ROOT, Running, environment, polystow

FOLDER = K8S / "backup"
OBJECTS: list[Object] = [
    each
    for name in yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    for each in yaml.safe_load_all((FOLDER / name).read_text())
]
JOB: Any = next(each for each in OBJECTS if each["kind"] == "CronJob")["spec"]["jobTemplate"]["spec"]
POD: Any = JOB["template"]["spec"]
(CONTAINER,) = POD["containers"]


@pytest.mark.parametrize("each", OBJECTS, ids=lambda each: f"{each['kind']} {each['metadata']['name']}")
def test_kubernetes_knows_every_field(each: Object) -> None:
    kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)
    assert each["metadata"]["labels"] == {"app.kubernetes.io/name": "polystow-backup"}


def test_the_pod_is_restricted_and_not_one_of_the_service() -> None:
    service = yaml.safe_load((K8S / "base" / "deployment.yaml").read_text())["spec"]["template"]
    assert JOB["template"]["metadata"]["labels"] != service["metadata"]["labels"]
    assert CONTAINER["image"] == f"polystow:{__version__}"
    assert CONTAINER["securityContext"] == service["spec"]["containers"][0]["securityContext"]
    assert POD["securityContext"].items() >= service["spec"]["securityContext"].items()
    assert POD["serviceAccountName"] == "polystow-backup"
    assert POD["automountServiceAccountToken"] is POD["enableServiceLinks"] is False


def test_redis_is_where_it_is_for_the_service() -> None:
    patch = yaml.safe_load((K8S / "overlays" / "single" / "redis-url.yaml").read_text())
    (variable,) = patch["spec"]["template"]["spec"]["containers"][0]["env"]
    assert variable in CONTAINER["env"]


def test_its_command_makes_exports_that_can_be_imported_and_keeps_fourteen(service: Running, tmp_path: Path) -> None:
    """The command itself, with a folder in the place of the volume and this Python in the place of the image."""
    for record in RECORDS:
        record.write(Client(service.url))
    wanted = {record.name: record.read(Client(service.url)) for record in RECORDS}
    backups, programs = tmp_path / "backups", tmp_path / "programs"
    backups.mkdir()
    programs.mkdir()
    (programs / "polystow").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m service "$@"\n')
    (programs / "polystow").chmod(0o755)
    for day in range(1, 21):
        (backups / f"202001{day:02}T021700Z.ndjson.zst").touch()
    variables = environment({"redis_url": f"unix://{service.data_dir}/redis.sock"})
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        CONTAINER["command"],
        cwd=ROOT,
        env=variables | {"BACKUPS": str(backups), "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    kept = sorted(backups.iterdir())
    assert len(kept) == 14
    assert kept[0].name == "20200108T021700Z.ndjson.zst"
    with Running(access="") as other:
        other.wait_ready()
        done = polystow("import", str(kept[-1]), redis_url=f"unix://{other.data_dir}/redis.sock")
        assert done.returncode == 0, done.stderr
        assert {record.name: record.read(Client(other.url)) for record in RECORDS} == wanted
