"""The append-only file of a data directory: which files it is made of, and whether they are gone.

Without them Redis starts empty, and says nothing.
"""

from pathlib import Path

MANIFEST = Path("appendonlydir", "appendonly.aof.manifest")
USED = "redis.used"  # file that says that a Redis has answered from this directory


def listed(data_dir: Path, kinds: str) -> list[Path]:
    """Return the files that the manifest lists, in order: base ("b") and incremental ("i") ones. Raises OSError."""
    words = [line.split() for line in (data_dir / MANIFEST).read_text().splitlines()]
    files = [dict(zip(each[::2], each[1::2], strict=False)) for each in words]
    return [(data_dir / MANIFEST).with_name(each["file"]) for each in files if each.get("type", "h") in kinds]


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
