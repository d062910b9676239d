"""Tests that the wheel and the source archive are complete, and that what `make dist` tries out works here, too."""

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from service import __version__
from tests.release import try_out
from tests.running import ROOT, environment

NAME = f"polystow-{__version__}"
WHEEL = f"{NAME}-py3-none-any.whl"


def build(tree: Path, directory: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(directory)]
    outside = environment({}) | {"SOURCE_DATE_EPOCH": "1700000000"}
    done = subprocess.run(command, cwd=tree, env=outside, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def files(*folders: str) -> set[str]:
    """Return the files of these folders, without those that Python and editors leave there."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in found if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    build(ROOT, directory)
    return directory


def test_the_wheel_contains_the_files_of_the_tree(dist: Path) -> None:
    with zipfile.ZipFile(dist / WHEEL) as wheel:
        found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    lua = {f"service/{name}" for name in files("lua")}
    assert found == files("service") | lua
    assert {"service/py.typed", "service/demo.yaml", "service/lua/put.lua", "service/openapi/static/docs.js"} <= found


def test_the_source_archive_contains_the_tree_and_builds_the_same_wheel(dist: Path, tmp_path: Path) -> None:
    with tarfile.open(dist / f"{NAME}.tar.gz") as archive:
        found = {name.removeprefix(f"{NAME}/") for name in archive.getnames()}
        archive.extractall(tmp_path, filter="data")
    assert found - {"PKG-INFO", ".gitignore"} == files("service", "lua") | {
        "pyproject.toml",
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
    }
    build(tmp_path / NAME, tmp_path)
    assert (tmp_path / WHEEL).read_bytes() == (dist / WHEEL).read_bytes()


def test_the_changelog_has_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert f"\n## [{__version__}] - " in text


def test_the_tools_of_the_release_are_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().split()}
    assert {tool.partition(">")[0] for tool in project["optional-dependencies"]["dist"]} <= pinned


def test_an_installed_release_stores_one_record_of_each_kind(tmp_path: Path) -> None:
    program = tmp_path / "polystow"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m service "$@"\n')
    program.chmod(0o755)
    try_out(program)
