"""Compiles a library that makes fsync slow in a program that loads it by LD_PRELOAD."""

import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

_directory = TemporaryDirectory(prefix="slow-disk-")


@cache
def library() -> Path:
    """Return the path of the compiled library."""
    built = Path(_directory.name, "slow_disk.so")
    source = Path(__file__).with_suffix(".c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(built), str(source)], check=True)
    return built
