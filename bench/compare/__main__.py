"""`python -m bench.compare`: measures, prints tables in Markdown, writes JSON and a picture.

Exit statuses: 0 if all was measured; 1 if a program is missing, a system gave a wrong answer, or a request takes more
CPU time than in the run that `--against` names; 2 for wrong arguments.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from bench.compare import against, dialects, growth, latency, memory, side_by_side, workers
from bench.compare.dialect_operations import OPERATIONS_BY_NAME
from bench.compare.loading import Wrong
from bench.compare.systems import SYSTEMS
from bench.compare.workloads import BY_NAME
from bench.placement import Placement, placement
from bench.processes import Unusable
from bench.results import RESULTS, write

ALONE = {"workers": workers.run, "growth": growth.run, "memory": memory.run, "latency": latency.run}
WORKLOADS: dict[str, Collection[str]] = {"systems": BY_NAME, "dialects": OPERATIONS_BY_NAME}
PARTS = (*WORKLOADS, *ALONE)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare",
        allow_abbrev=False,
        description="Measure this service beside others. Everything takes half an hour, and --quick 3 minutes.",
    )
    parser.add_argument("--quick", action="store_true", help="short turns, the main workloads only")
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=[],
        metavar="NAME,...",
        help=f"parts ({', '.join(PARTS)}) or workloads ({', '.join([*BY_NAME, *OPERATIONS_BY_NAME])})",
    )
    parser.add_argument(
        "--systems",
        type=lambda text: text.split(","),
        default=[],
        metavar="NAME,...",
        help=f"which of {', '.join(each.name for each in SYSTEMS)}",
    )
    parser.add_argument(
        "--before",
        type=_checkout,
        metavar="DIR",
        help="a checkout of an earlier commit, whose service has its turn beside today's",
    )
    parser.add_argument(
        "--against",
        type=_earlier,
        metavar="FILE",
        help="figures of an earlier run (dialects.json, systems.json): 1 is the exit status if a request takes over"
        f" {against.TOLERANCE:.0%}% more CPU time now, as a multiple of bare aiohttp's",
    )
    parser.add_argument("--out", type=Path, help="where to write [bench/results, or bench/results/quick]")
    return parser


def _checkout(text: str) -> Path:
    """Return the directory of a checkout. Raises argparse.ArgumentTypeError if it has no service."""
    if not Path(text, "service", "__main__.py").is_file():
        raise argparse.ArgumentTypeError(f"{text} has no service/__main__.py, so it is no checkout of this project")
    return Path(text)


def _earlier(text: str) -> dict[str, Any]:
    """Return the figures in a file. Raises argparse.ArgumentTypeError if there are none."""
    try:
        return against.read(Path(text))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    parsing = parser()
    parsed = parsing.parse_args(given)
    names = {each.name for each in SYSTEMS}
    if unknown := [*(set(parsed.only) - {*PARTS, *BY_NAME, *OPERATIONS_BY_NAME}), *(set(parsed.systems) - names)]:
        parsing.error(f"there is no {unknown[0]}")
    out = parsed.out or (RESULTS / "quick" if parsed.quick else RESULTS)
    wanted = [name for name in PARTS if not parsed.only or {name, *WORKLOADS.get(name, ())}.intersection(parsed.only)]
    where = placement()
    say = progress()
    say(where.note)
    slower: list[str] = []
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            for part in wanted:
                directory = Path(scratch, part)
                directory.mkdir()
                figures, draw = _measured(part, parsed, where, directory, say)
                write(out, part, given, figures)
                if parsed.against and part in WORKLOADS:
                    slower += against.grown(figures, parsed.against)
                if draw:
                    draw(out / f"{part}.svg")
    except (Unusable, Wrong, ValueError) as error:
        print(f"bench.compare: {error}", file=sys.stderr)
        return 1
    if slower:
        print("\n".join(["More CPU time for a request than before:", *slower]))
    return 1 if slower else 0


def _measured(
    part: str, parsed: argparse.Namespace, where: Placement, directory: Path, say: Callable[[str], None]
) -> tuple[dict[str, Any], Callable[[Path], None] | None]:
    """Measure a part and print its tables. Return its figures, and the function that draws its picture."""
    draw = None
    names = [name for name in parsed.only if name in WORKLOADS.get(part, ())]
    if part == "systems":
        printed, figures, draw = side_by_side.run(
            names, parsed.systems, where, directory, before=parsed.before, quick=parsed.quick, say=say
        )
    elif part == "dialects":
        printed, figures = dialects.run(
            names, parsed.systems, where, directory, before=parsed.before, quick=parsed.quick, say=say
        )
    else:
        printed, figures = ALONE[part](where, directory, quick=parsed.quick, say=say)
    print(f"\n{printed}\n", flush=True)
    return figures, draw


def progress() -> Callable[[str], None]:
    """Print on standard error what is being measured, and the time since the start."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)

    return say


if __name__ == "__main__":
    sys.exit(main())
