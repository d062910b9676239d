"""The state file of a migration: the progress of each part, so that a restarted migration continues where it ended."""

import os
import re
from pathlib import Path

import msgspec
from msgspec import Struct

from service.settings import BadSetting

FORMAT = 1

_number = re.compile("[0-9]{1,15}").fullmatch


class Progress(Struct):
    """The progress of one part, such as a category."""

    position: str = ""  # where to continue; each kind of part has its own format
    done: bool = False

    def numbers(self, *start: int) -> tuple[int, ...]:
        """Return the numbers of the position, as many as `start` has, or `start` if there is no position.

        Raises BadSetting.
        """
        if not self.position:
            return start
        found = self.position.split(" ")
        if len(found) != len(start) or not all(map(_number, found)):
            raise BadSetting(f"the state of a migration must have numbers as positions, not '{self.position[:40]}'")
        return tuple(map(int, found))


class _Contents(Struct):
    format: int
    task: dict[str, str]
    parts: dict[str, Progress] = {}


class State:
    """The state of one migration. Without a path it is kept in memory only."""

    def __init__(self, path: Path | None, task: dict[str, str]) -> None:
        """Read the file if it exists. `task` says what is migrated. Raises BadSetting if the file has another task."""
        self._path = path
        self._contents = _Contents(FORMAT, task)
        if path is None or not path.exists():
            return
        try:
            found = msgspec.json.decode(path.read_bytes(), type=_Contents)
        except (OSError, msgspec.MsgspecError, RecursionError) as error:
            raise BadSetting(f"{path} is not the state of a migration: {error}") from error
        if found.format != FORMAT or found.task != task:
            raise BadSetting(f"{path} is the state of another migration; name another file, or remove it")
        self._contents = found

    def part(self, name: str) -> Progress:
        """Return the progress of a part. A new part begins with an empty position."""
        return self._contents.parts.setdefault(name, Progress())

    def save(self) -> None:
        """Write the file atomically: after a crash it has either the new state or the previous one."""
        if self._path is None:
            return
        partial = self._path.with_name(f"{self._path.name}.partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(self._contents))
            file.flush()
            os.fsync(descriptor)
        partial.replace(self._path)
