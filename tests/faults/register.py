"""The contract of registers: requests of a dialect that use a record as a register with one value.

A dialect takes part in the trials if `tests/dialects/NAME/register.py` has a `REGISTER`; nothing else is needed. One
with batches may have `batch_register.py` too, whose `REGISTER` is `Batching`.
"""

from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from random import Random
from typing import Protocol, runtime_checkable

from service.dialects import discover
from tests.faults.history import Read, Write
from tests.raw_http import Response


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


@runtime_checkable
class Batching(Protocol):
    """The requests for several keys at once that a register may have beside those for one key."""

    def batch(self, random: Random, keys: Keys, name: str) -> tuple[list[Write], bytes]:
        """Return the operations of a random batch of this name, and its request. The caller sets `invoked`."""

    def batched(self, writes: list[Write], keys: Keys, response: Response) -> None:
        """Set the outcomes, versions and etags of the operations of a batch from its answer."""

    def read_all(self) -> bytes:
        """Return a request that reads all keys at one moment."""

    def saw_all(self, response: Response) -> list[Read]:
        """Return a read for each key in the answer; the caller sets the times. None of them if it is a refusal."""


def registers() -> dict[str, Register]:
    """Return all registers: by name of the dialect, and those with batches as `NAME-batches`."""
    modules = {
        f"{dialect.name}{suffix}": f"tests.dialects.{dialect.name}.{module}"
        for dialect in discover()
        for suffix, module in (("", "register"), ("-batches", "batch_register"))
    }
    return {name: import_module(module).REGISTER for name, module in modules.items() if find_spec(module)}
