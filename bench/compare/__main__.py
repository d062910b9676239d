"""`python -m bench.compare`: measures, prints tables in Markdown, writes JSON and a picture.

Exit statuses: 0 when measured, 1 when a program is missing or a system answered wrongly, 2 for a wrong call.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.compare import growth, memory, side_by_side, workers
from bench.compare.loading import Wrong
from bench.compare.systems import SYSTEMS
from bench.compare.workloads import BY_NAME
from bench.placement import Placement, placement
from bench.processes import Unusable
from bench.results import RESULTS, write

ALONE = {"workers": workers.run, "growth": growth.run, "memory": memory.run}
PARTS = ("systems", *ALONE)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare",
        description="Measure this service beside others. Everything takes 15 minutes, and --quick 2.",
    )
    parser.add_argument("--quick", action="store_true", help="short turns, the main workloads only")
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=[],
        metavar="NAME,...",
        help=f"parts ({', '.join(PARTS)}) or workloads ({', '.join(BY_NAME)})",
    )
    parser.add_argument(
        "--systems",
        type=lambda text: text.split(","),
        default=[],
        metavar="NAME,...",
        help=f"which of {', '.join(each.name for each in SYSTEMS)}",
    )
    parser.add_argument("--out", type=Path, help="where to write [bench/results, or bench/results/quick]")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    parsing = parser()
    parsed = parsing.parse_args(given)
    names = {each.name for each in SYSTEMS}
    if unknown := [*(set(parsed.only) - {*PARTS, *BY_NAME}), *(set(parsed.systems) - names)]:
        parsing.error(f"there is no {unknown[0]}")
    out = parsed.out or (RESULTS / "quick" if parsed.quick else RESULTS)
    workloads = [name for name in parsed.only if name in BY_NAME]
    wanted = [name for name in PARTS if name in parsed.only or not parsed.only or (name == "systems" and workloads)]
    where = placement()
    say = progress()
    say(where.note)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            for part in wanted:
                directory = Path(scratch, part)
                directory.mkdir()
                if part == "systems":
                    _systems(workloads, parsed.systems, where, directory, out, given, quick=parsed.quick, say=say)
                else:
                    printed, figures = ALONE[part](where, directory, quick=parsed.quick, say=say)
                    print(f"\n{printed}\n", flush=True)
                    write(out, part, given, figures)
    except (Unusable, Wrong) as error:
        print(f"bench.compare: {error}", file=sys.stderr)
        return 1
    return 0


def _systems(
    workloads: Sequence[str], systems: Sequence[str], where: Placement, directory: Path, out: Path,
    given: Sequence[str], *, quick: bool, say: Callable[[str], None],
) -> None:  # fmt: skip
    printed, figures, draw = side_by_side.run(workloads, systems, where, directory, quick=quick, say=say)
    print(f"\n{printed}\n", flush=True)
    write(out, "systems", given, figures)
    draw(out / "systems.svg")


def progress() -> Callable[[str], None]:
    """Says on standard error what is going on, and since when."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)

    return say


if __name__ == "__main__":
    sys.exit(main())
