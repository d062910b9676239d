"""Runs the command lines of each target of the Makefile, in their shortest form."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import ROOT, environment

SECONDS = 100  # for a command in its short form: much longer than it takes

# For each target, arguments that make it short without leaving out anything, and a part of its output.
SHORT = {
    "faults": ("--seconds 1 --operations 40 --dialect ainoflow --clients 2", "0 impossible histories"),
    "fuzz": ("--seconds 3 --seed 7 --help", "random input"),
    "compare": ("--quick --help", "--systems"),
    "docs": ("--help", "--site-dir"),
    "bench": ("--users 2 --run-time 3s --think 0.02", "aggregated"),
    "check": ("-p no:cacheprovider --numprocesses 0 tests/test_conversations.py", "passed"),
    "test-long": ("-p no:cacheprovider --numprocesses 0 tests/storage/test_long_commands.py", "passed"),
    "test": ("-p no:cacheprovider --numprocesses 0 tests/test_conversations.py", "passed"),
}


def commands(target: str, arguments: str = "") -> list[str]:
    """Return the commands that make would run, with this Python in place of the environment's. Nothing is installed."""
    made = [
        "make",
        "--no-print-directory",
        "--dry-run",
        "--always-make",
        "--assume-old",
        "venv",
        "--assume-old",
        ".venv/.run",
        "--assume-old",
        ".venv/.dist",
        target,
    ]
    outside = {name: value for name, value in environment({}).items() if name not in ("MAKEFLAGS", "MAKELEVEL", "ARGS")}
    text = subprocess.run(
        [*made, f"ARGS={arguments}", "--assume-old", ".venv/.ready"],
        cwd=ROOT,
        env=outside,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [line.lstrip("@") for line in lines if "pip" not in line and "venv .venv" not in line]


def run(line: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    line = line.replace(".venv/bin/", f"{shlex.quote(str(Path(sys.executable).parent))}/")
    return subprocess.run(
        ["bash", "-ec", line],
        cwd=cwd,
        env=environment({}) | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def targets() -> list[str]:
    return re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_make_alone_lists_every_target() -> None:
    for command in (["make"], ["make", "help"]):
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert re.findall(r"^  make ([\w-]+)", said, re.MULTILINE) == targets()
    assert {*targets()} == {
        *SHORT,
        "help",
        "venv",
        "run",
        "lint",
        "compatibility",
        "picture",
        "dist",
        "format",
        "clean",
    }  # each has a test here


@pytest.mark.parametrize("target", SHORT)
def test_a_target_runs_with_its_arguments(target: str) -> None:
    arguments, said = SHORT[target]
    *_, command = (line for line in commands(target, arguments) if line.startswith(".venv/bin/python -m "))
    assert arguments in command
    done = run(command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert said in (done.stdout + done.stderr).lower()


def test_make_run_serves() -> None:
    (command,) = commands("run")
    assert command == "exec .venv/bin/python -m service.demo"  # which tests/process/test_demo.py runs


def test_make_picture_draws_the_architecture() -> None:
    (command,) = commands("picture")
    assert command == ".venv/bin/python docs/architecture.py"  # which tests/test_documentation.py runs


def test_make_compatibility_writes_the_page() -> None:
    (command,) = commands("compatibility")
    assert command == ".venv/bin/python -m docs.compatibility"  # whose page tests/test_documentation.py compares


def test_make_dist_builds_checks_and_tries_the_release() -> None:
    """tests/test_release.py tests everything that needs no package index."""
    modules = [line.split()[2] for line in commands("dist") if line.startswith(".venv/bin/python -m ")]
    assert modules == ["hatchling", "twine", "tests.release", "cyclonedx_py"]


def copied(tmp_path: Path) -> Path:
    """A directory with the settings of the tools and one badly formatted module."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "module.py").write_text("import sys\nimport os\nprint( os,sys )\n")
    return tmp_path


def test_make_format_corrects_findings_of_make_lint(tmp_path: Path) -> None:
    check, form, *_ = lint = commands("lint")
    tree = copied(tmp_path)
    assert [run(line, tree).returncode for line in (check, form)] == [1, 1]
    assert [run(line, tree).returncode for line in commands("format")] == [0, 0]
    assert [run(line, tree).returncode for line in (check, form)] == [0, 0]
    assert (tree / "module.py").read_text() == "import os\nimport sys\n\nprint(os, sys)\n"
    assert [line.split()[0].rpartition("/")[2] for line in lint] == [
        "ruff",
        "ruff",
        "mypy",
        "hadolint",
        "rm",
        "python",
        "luacheck",
        "rm",
    ]


def test_make_lint_checks_the_dockerfile_and_the_composed_scripts(tmp_path: Path) -> None:
    *_, hadolint, _, compose, luacheck, remove = commands("lint")
    assert run(hadolint).returncode == 0
    (tmp_path / ".lint").mkdir()
    assert run(compose, tmp_path).returncode == 0
    assert len(list((tmp_path / ".lint").glob("*.lua"))) > 20
    if shutil.which("luacheck"):  # without luacheck, the rest is tested
        assert run(luacheck, tmp_path).returncode == 0
    assert run(remove, tmp_path).returncode == 0
    assert not (tmp_path / ".lint").exists()


def test_make_check_runs_lint_too() -> None:
    assert {*commands("lint")} < {*commands("check")}


def test_make_lint_checks_types_as_configured() -> None:
    (mypy,) = (line for line in commands("lint") if "mypy" in line)
    assert run(f"{mypy} --version").returncode == 0


def test_make_clean_removes_generated_files_and_keeps_the_data(tmp_path: Path) -> None:
    kept, made = (
        ["data/redis.aof", "service/__init__.py"],
        [".venv/x", ".ruff_cache/x", "a/b/__pycache__/x.pyc", "dist/x"],
    )
    for name in kept + made:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    for line in commands("clean"):
        assert run(line, tmp_path).returncode == 0
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == kept
