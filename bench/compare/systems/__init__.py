"""The systems that are compared, in the order of their turns."""

from collections.abc import Sequence
from pathlib import Path

from bench.compare.system import System
from bench.compare.systems.bare import Bare
from bench.compare.systems.kinto import Kinto
from bench.compare.systems.limit import Limit
from bench.compare.systems.nginx import Nginx
from bench.compare.systems.polystow import Before, CacheOff, FastPath, OrdinaryPath
from bench.compare.systems.raw import RawRedis
from bench.compare.systems.webdis import Webdis
from bench.placement import Placement

SYSTEMS: tuple[type[System], ...] = (
    FastPath,
    CacheOff,
    Limit,
    Nginx,
    Webdis,
    Bare,
    OrdinaryPath,
    Kinto,
    RawRedis,
)
SUBJECT = FastPath.name  # the system whose ratios to the others are computed


def select(names: Sequence[str], before: Path | None, placement: Placement, directory: Path) -> list[System]:
    """Return the systems with these names, or all. With `before`, the service of that checkout is one more system."""
    chosen = [kind(placement, directory) for kind in SYSTEMS if not names or kind.name in names]
    if before:
        chosen.insert(1, Before(placement, directory, before))
    return chosen
