"""Reads the Dockerfile, and carries out its build stages in a folder, without an engine.

`Stages.run` carries out COPY and RUN, with the image's paths inside of the folder. As in an image, the commands find
only the copied files there, and `.dockerignore` decides which files can be copied.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.running import ROOT

COMMAND_SECONDS = 900.0  # much longer than one command of a build takes, also on a busy machine


@dataclass
class Stage:
    """One FROM and the instructions after it."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """Return the arguments of all instructions of one kind."""
        return [text for word, text in self.steps if word == instruction]


def stages() -> dict[str, Stage]:
    """Return the stages by name, in order."""
    found: dict[str, Stage] = {}
    for word, text in _instructions():
        if word == "FROM":
            base, _, name = text.partition(" AS ")
            found[name] = stage = Stage(base, name)
        elif found:
            stage.steps.append((word, text))
    return found


def _instructions() -> Iterator[tuple[str, str]]:
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", "").splitlines():
        if line:
            word, text = line.split(maxsplit=1)
            yield word, text


def context() -> list[Path]:
    """Return the paths that `.dockerignore` does not exclude."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    return [ROOT / rule[1:] for rule in rules if rule.startswith("!")]


class Workshop:
    """A folder that stands for the root of an image. `wheels` is the directory of the packages that pip finds."""

    MOVED = ("/src", "/opt/")

    def __init__(self, root: Path, wheels: Path) -> None:
        self.root, self._wheels = root, wheels

    def at(self, path: str) -> Path:
        """Return the path in the folder for a path of the image."""
        return self.root / path.lstrip("/")

    def run(self, stage: Stage) -> None:
        """Carry out the WORKDIR, COPY and RUN instructions of a stage. Fail with the output of a command that fails."""
        where = self.at("/src")
        for word, text in stage.steps:
            if word == "WORKDIR":
                where = self.at(text)
                where.mkdir(parents=True, exist_ok=True)
            elif word == "COPY":
                *sources, target = text.split()
                for source in sources:
                    self._copy(ROOT / source, where / target)
            elif word == "RUN":
                self._command(text, where)

    def _copy(self, source: Path, target: Path) -> None:
        assert source in context(), f".dockerignore keeps {source.name} from the builder"
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "results", ".kinto-venv"))
        else:
            shutil.copy(source, target)

    def _command(self, text: str, where: Path) -> None:
        command = re.sub(r"--mount=\S+ ", "", text)
        for path in self.MOVED:
            command = re.sub(rf"(?<![\w.]){path}", f"{self.root}{path}", command)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("POLYSTOW_")}
        done = subprocess.run(
            ["sh", "-ec", command],
            cwd=where,
            env=kept | {"PATH": path, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self._wheels)},
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
