"""Shows the progress of a command on standard error: a bar on a terminal, otherwise a line every few seconds."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PERIOD = 5.0  # seconds between two lines
REFRESHES = 4  # how often the bar is drawn in a second


class Reporter:
    """Counts the records that are done. It shows nothing."""

    done = 0

    def __call__(self, records: int) -> None:
        """Add a number of records that are done."""
        self.done += records

    def say(self, text: str) -> None:
        """Print a message on a line of its own."""
        print(text, file=sys.stderr, flush=True)


class _Lines(Reporter):
    """Prints a line every few seconds."""

    def __init__(self, what: str, total: int | None) -> None:
        self._what, self._of = what, f" of about {total}" if total else ""
        self._begun = self._last = monotonic()

    def __call__(self, records: int) -> None:
        self.done += records
        now = monotonic()
        if now - self._last >= PERIOD:
            self._last = now
            self.say(f"{self._what}: {self.done}{self._of} records, {self.done / (now - self._begun):.0f} a second")


class _Bar(Reporter):
    """Draws a bar on a terminal."""

    def __init__(self, what: str, total: int | None, progress: Progress) -> None:
        self._progress, self._task = progress, progress.add_task(what, total=total)

    def __call__(self, records: int) -> None:
        self.done += records
        self._progress.advance(self._task, records)

    def say(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, markup=False)


@contextmanager
def reporting(what: str, total: int | None, *, quiet: bool) -> Iterator[Reporter]:
    """Yield the reporter for the work in the block. `total` is the number of records, if it is known."""
    console = Console(stderr=True)
    if quiet:
        yield Reporter()
    elif console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, *times, console=console, refresh_per_second=REFRESHES) as progress:
            yield _Bar(what, total, progress)
    else:
        yield _Lines(what, total)
