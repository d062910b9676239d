"""The contract of registers: requests of a dialect that use a record as a register with one value.

A dialect takes part in the trials if `tests/dialects/NAME/register.py` has a `REGISTER`; nothing else is needed.
"""

from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from random import Random
from typing import Protocol

from service.dialects import discover
from tests.faults.history import Read, Write
from tests.hot.wire import Response


@dataclass(slots=True)
class Known:
    """The knowledge of a client about a key: the etag that it saw last, for conditional writes."""

    etag: str | None = None


@dataclass(slots=True)
class Keys:
    """The keys of a run, and what one client knows about them."""

    names: list[str]
    known: dict[str, Known] = field(default_factory=dict)

    def of(self, name: str) -> Known:
        return self.known.setdefault(name, Known())


class Register(Protocol):
    """The requests of one dialect. `versions`: answers have versions, by which the history is checked."""

    versions: bool

    def write(self, random: Random, key: str, known: Known, value: str) -> tuple[Write, bytes]:
        """Return a random kind of write of this value, and its request. The caller sets `invoked`."""

    def wrote(self, write: Write, known: Known, response: Response) -> None:
        """Set the outcome, version and etag of a write from its answer."""

    def read(self, random: Random, key: str) -> bytes:
        """Return a random kind of request that reads the key."""

    def saw(self, read: Read, known: Known, response: Response) -> bool:
        """Set the members of a read from its answer. Return False if the answer is a refusal."""


def registers() -> dict[str, Register]:
    """Return the registers of all dialects that have one, by name of the dialect."""
    names = [f"tests.dialects.{dialect.name}.register" for dialect in discover()]
    return {name.split(".")[2]: import_module(name).REGISTER for name in names if find_spec(name)}
