"""The outcome of a migration: what became of each record, and whether both sides agree in the end."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

SAMPLE = 20  # records of each part whose etags are compared in the end


class Refused(Exception):
    """The vendor refused a request, or its answer is not what its page describes."""


@dataclass(slots=True)
class Agreement:
    """Both sides of one part, compared in the end."""

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
    """Everything that a migration did. `say` prints it; with `quiet`, only what an operator must check."""

    say: Callable[[str], object]
    quiet: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    troubles: int = 0
    agreements: list[Agreement] = field(default_factory=list)

    def trouble(self, text: str) -> None:
        """Count and print something that an operator must check."""
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
    """A few names out of many, each with the same chance."""

    def __init__(self, seed: str) -> None:
        self.names: list[str] = []
        self._random, self._seen = Random(seed), 0

    def add(self, name: str) -> None:
        """Offer a name."""
        self._seen += 1
        if len(self.names) < SAMPLE:
            self.names.append(name)
        elif (place := self._random.randrange(self._seen)) < SAMPLE:
            self.names[place] = name
