"""How much memory a process has."""

from pathlib import Path

MEBIBYTE = 1024 * 1024


def resident(pid: int) -> int:
    """Bytes of its memory that are in RAM."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
