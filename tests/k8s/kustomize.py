"""Builds overlays as Kubernetes gets them: with kubectl or kustomize if they are installed, and without any program.

The last way is for machines without these programs: PyPI has no kustomize, and the kubectl of Debian 12 contains one
from 2019. It supports only the features that our kustomizations use, and refuses all others, so that none is ignored.
A test compares it with the real programs. Names of generated objects lack the hash that kustomize appends.
"""

import base64
import re
import shutil
import subprocess
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

K8S = Path(__file__).parent.parent.parent / "k8s"
OVERLAYS = sorted(path.name for path in (K8S / "overlays").iterdir())

Object = dict[str, Any]
Build = Callable[[str], list[Object]]

KNOWN = {
    "apiVersion",
    "kind",
    "namespace",
    "resources",
    "components",
    "configMapGenerator",
    "secretGenerator",
    "patches",
}
MERGED_BY = {"containers": "name", "env": "name", "ports": "containerPort", "volumes": "name"}
CLUSTER_WIDE = {"Namespace"}


def ways() -> dict[str, Build]:
    """Return the ways to build an overlay on this machine, by name."""
    found: dict[str, Build] = {"reading": reading}
    if path := shutil.which("kubectl"):
        found["kubectl"] = _by(path, "kustomize")
    if path := shutil.which("kustomize"):
        found["kustomize"] = _by(path, "build")
    return found


def _by(*command: str) -> Build:
    def build(overlay: str) -> list[Object]:
        done = subprocess.run([*command, str(K8S / "overlays" / overlay)], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        text = done.stdout
        for name in _generated(K8S / "overlays" / overlay):
            text = re.sub(rf"\b{name}-[a-z0-9]{{10}}$", name, text, flags=re.MULTILINE)
        return [_unwrapped(each) for each in _loaded(text)]

    return build


def _loaded(text: str) -> list[Object]:
    """Return the documents of a YAML file, read by libyaml, which is five times as fast as Python."""
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))


def _unwrapped(each: Object) -> Object:
    # kustomize breaks long base64 into lines.
    if each["kind"] == "Secret":
        each["data"] = {key: "".join(value.split()) for key, value in each["data"].items()}
    return each


def _generated(folder: Path) -> set[str]:
    told = _kustomization(folder)
    found = {made["name"] for made in told.get("configMapGenerator", []) + told.get("secretGenerator", [])}
    for other in (*told.get("resources", []), *told.get("components", [])):
        if (folder / other).is_dir():
            found |= _generated(folder / other)
    return found


def reading(overlay: str) -> list[Object]:
    """Build an overlay without any program."""
    return _read(K8S / "overlays" / overlay)


def _kustomization(folder: Path) -> dict[str, Any]:
    (told,) = _loaded((folder / "kustomization.yaml").read_text())
    assert set(told) <= KNOWN, set(told) - KNOWN
    return told


def _read(folder: Path) -> list[Object]:
    told = _kustomization(folder)
    objects: list[Object] = []
    for name in (*told.get("resources", []), *told.get("components", [])):
        path = folder / name
        objects += _read(path) if path.is_dir() else _loaded(path.read_text())
    for kind in ("ConfigMap", "Secret"):
        for made in told.get(f"{kind[0].lower()}{kind[1:]}Generator", []):
            _generate(folder, kind, made, objects)
    for patch in told.get("patches", []):
        assert set(patch) == {"path"}
        (change,) = _loaded((folder / patch["path"]).read_text())
        (target,) = [each for each in objects if identity(each) == identity(change)]
        target.update(_merged(target, change))
    if namespace := told.get("namespace"):
        for each in objects:
            if each["kind"] in CLUSTER_WIDE:
                each["metadata"]["name"] = namespace
            else:
                each["metadata"]["namespace"] = namespace
    return objects


def identity(each: Object) -> tuple[str, str]:
    """Return the key that identifies an object in an overlay."""
    return each["kind"], each["metadata"]["name"]


def _generate(folder: Path, kind: str, made: dict[str, Any], objects: list[Object]) -> None:
    assert set(made) <= {"name", "files", "envs", "behavior", "options"}
    data = {}
    for file in made.get("files", []):
        key, _, path = file.rpartition("=")
        data[key or path] = (folder / path).read_text()
    for file in made.get("envs", []):
        lines = [line for line in (folder / file).read_text().splitlines() if line and line[0] != "#"]
        data |= dict(line.split("=", 1) for line in lines)
    if kind == "Secret":
        data = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    if made.get("behavior") == "merge":
        (target,) = [each for each in objects if identity(each) == (kind, made["name"])]
        target["data"] |= data
        return
    metadata: dict[str, Any] = {"name": made["name"]}
    if labels := made.get("options", {}).get("labels"):
        metadata["labels"] = labels
    whole = {"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": data}
    objects.append(whole | ({"type": "Opaque"} if kind == "Secret" else {}))


def _merged(base: Any, change: Any, name: str = "") -> Any:
    """Return a strategic merge: maps by member, known lists by entry with new entries first; all else is replaced."""
    if isinstance(base, dict) and isinstance(change, dict):
        both = {key: _merged(base[key], value, key) for key, value in change.items() if key in base}
        return base | change | both
    if name in MERGED_BY and isinstance(base, list):
        by = MERGED_BY[name]
        changes = {each[by]: each for each in change}
        known = {each[by] for each in base}
        new = [each for each in change if each[by] not in known]
        return deepcopy(new) + [_merged(each, changes.get(each[by], {})) for each in base]
    return change
