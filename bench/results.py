"""The results of a measurement: a JSON file with the figures, the command and the machine, and tables in Markdown.

Invariant: the results do not contain names of the host, a user or their directories.
"""

import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.processes import ROOT, said
from bench.redis_server import server_program
from service import __version__

RESULTS = ROOT / "bench" / "results"
PACKAGES = ("aiohttp", "hiredis", "msgpack", "orjson", "redis", "uvloop")


def write(directory: Path, name: str, arguments: Sequence[str], measured: dict[str, Any]) -> Path:
    """Write `directory/name.json`: the command, the time and the machine, and then the figures."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.json"
    made = {
        "command": " ".join(["python", "-m", module(), *shown(arguments)]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
        "versions": versions(),
    }
    path.write_text(json.dumps(made | measured, indent=1) + "\n")
    return path


def shown(arguments: Sequence[str]) -> list[str]:
    """Return a command line without the paths of `--out`, `--before` and `--against`, which are private."""
    found: list[str] = []
    given = iter(arguments)
    for each in given:
        name, has_value, _ = each.partition("=")
        if name in ("--out", "--before", "--against"):
            if not has_value:
                next(given, None)
            found += {"--before": ["--before", "DIR"], "--against": ["--against", "FILE"]}.get(name, [])
        else:
            found.append(each)
    return found


def module() -> str:
    """Return the name with which the running program was started by `python -m`."""
    spec = sys.modules["__main__"].__spec__
    return spec.name.removesuffix(".__main__") if spec else Path(sys.argv[0]).stem


def hardware() -> dict[str, Any]:
    fields = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    models = [value.strip() for name, _, value in fields if name.strip() == "model name"]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(pages / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    found = {"polystow": __version__, "python": platform.python_version()}
    found |= {package: version(package) for package in PACKAGES}
    return found | {"redis-server": said(str(server_program()), "--version").partition("v=")[2].partition(" ")[0]}


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table. All columns except the first are aligned to the right."""
    lines = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines.insert(1, rule)
    aligned = (
        [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        for line in lines
    )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in aligned)
