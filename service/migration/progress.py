"""The progress of a migration, told on standard error every few seconds."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

PERIOD = 5.0  # seconds between two lines


class Told:
    """The number of records that are done."""

    def __init__(self, what: str, *, quiet: bool) -> None:
        self._what, self._quiet = what, quiet
        self._done, self._last = 0, monotonic()

    def __call__(self, records: int) -> None:
        """Add records that are done."""
        self._done += records
        if not self._quiet and monotonic() - self._last >= PERIOD:
            self._last = monotonic()
            self.say(f"{self._what}: {self._done} records")

    def say(self, text: str) -> None:
        """Tell something besides, in a line of its own."""
        print(text, file=sys.stderr, flush=True)


@contextmanager
def told(what: str, *, quiet: bool) -> Iterator[Told]:
    """Tell the progress of what is done in the block."""
    yield Told(what, quiet=quiet)
