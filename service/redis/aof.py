"""A check that a data directory still has its append-only file: without it Redis starts empty, and says nothing."""

from pathlib import Path

USED = "redis.used"  # file that says that a Redis has answered from this directory


def missing(data_dir: Path) -> str | None:
    """Describe why Redis would start empty from a directory that held data; None if it would not."""
    found = sorted(path.name for path in data_dir.glob("appendonlydir/appendonly.aof.*"))
    if "appendonly.aof.manifest" in found:
        return None
    if found:
        what = (
            f"{data_dir}/appendonlydir has {', '.join(found)} and no appendonly.aof.manifest to tell which are in use"
        )
    elif (data_dir / USED).exists() and not (data_dir / "appendonly.aof").exists():
        what = f"{data_dir} held data, and its append-only file is gone (appendonlydir; before Redis 7 appendonly.aof)"
    else:
        return None
    return f"{what}: Redis would start empty. Restore it from a backup, or move {data_dir} away to start empty"
