"""The append-only file of a data directory: the list of its files, and the check that none is missing.

If they are missing, Redis starts empty without an error.
"""

from pathlib import Path

MANIFEST = Path("appendonlydir", "appendonly.aof.manifest")
USED = "redis.used"  # file that exists once a Redis has answered from this directory


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
            f"{data_dir}/appendonlydir has {', '.join(found)}, but appendonly.aof.manifest, which lists the files in"
            " use, is missing"
        )
    elif (data_dir / USED).exists() and not (data_dir / "appendonly.aof").exists():
        what = (
            f"{data_dir} held data, but its append-only file (appendonlydir; before Redis 7 appendonly.aof) is missing"
        )
    else:
        return None
    return f"{what}: Redis would start empty. Restore it from a backup, or move {data_dir} away to start without data"
