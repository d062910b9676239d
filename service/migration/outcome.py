"""The outcome of a migration: counts of records, messages for the operator, and the comparison of both sides."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

SAMPLE = 20  # records of each part whose etags are compared at the end


class Refused(Exception):
    """The vendor refused a request, or its answer is not as its page describes it."""


@dataclass(slots=True)
class Agreement:
    """The comparison of both sides of one part, such as a category, at the end."""

    part: str
    there: int  # records at the vendor
    here: int  # records in this service
    compared: int = 0
    equal: int = 0

    @property
    def good(self) -> bool:
        """True if both sides have as many records and every compared etag is equal."""
        return self.there == self.here and self.compared == self.equal

    def __str__(self) -> str:
        counted = f"{self.there} at the vendor, {self.here} in Polystow"
        return f"{self.part}: {counted}; {self.equal} of {self.compared} compared are equal"


@dataclass(slots=True)
class Outcome:
    """The account of a migration. `say` prints a line; with `quiet`, only what an operator must check is printed."""

    say: Callable[[str], object]
    quiet: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    troubles: int = 0
    agreements: list[Agreement] = field(default_factory=list)

    def trouble(self, text: str) -> None:
        """Count and print a problem that an operator must check."""
        self.troubles += 1
        self.say(text)

    def end(self) -> int:
        """Print the outcome, and return the exit status."""
        for agreement in self.agreements:
            if not (self.quiet and agreement.good):
                self.say(str(agreement) + ("" if agreement.good else "  <- they differ"))
        counted = ", ".join(f"{count} {what}" for what, count in self.counts.items())
        if not self.quiet:
            self.say(f"{counted or 'there was nothing to do'}; {self.troubles} to check")
        return 0 if not self.troubles and all(each.good for each in self.agreements) else 1


class Sample:
    """A random sample of the names that are added; each name has the same chance."""

    def __init__(self, seed: str) -> None:
        self.names: list[str] = []
        self._random, self._seen = Random(seed), 0

    def add(self, name: str) -> None:
        """Add a name. It may replace a name in the sample."""
        self._seen += 1
        if len(self.names) < SAMPLE:
            self.names.append(name)
        elif (place := self._random.randrange(self._seen)) < SAMPLE:
            self.names[place] = name
