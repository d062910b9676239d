"""A dialect as the history checker needs it: a record used as a register, one value in it.

A dialect takes part by having `tests/dialects/NAME/register.py` with a `REGISTER`; nothing else is edited.
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
    """A client's knowledge of a key: the etag that it saw last, for writes under a condition."""

    etag: str | None = None


@dataclass(slots=True)
class Keys:
    """The keys of a run, and what each client remembers of them."""

    names: list[str]
    known: dict[str, Known] = field(default_factory=dict)

    def of(self, name: str) -> Known:
        return self.known.setdefault(name, Known())


class Register(Protocol):
    """`versions`: answers tell versions, so the history can be checked by them."""

    versions: bool

    def write(self, random: Random, key: str, known: Known, value: str) -> tuple[Write, bytes]:
        """A write of that value in one of the dialect's ways, and its request. `invoked` is filled in by the caller."""

    def wrote(self, write: Write, known: Known, response: Response) -> None:
        """Note in the write what its answer says; it was of unknown outcome."""

    def read(self, random: Random, key: str) -> bytes:
        """A request that reads the key, in one of the dialect's ways."""

    def saw(self, read: Read, known: Known, response: Response) -> bool:
        """Note in the read what its answer says. False: it says nothing, for it is a refusal."""


def registers() -> dict[str, Register]:
    """Those of the dialects that have one."""
    names = [f"tests.dialects.{dialect.name}.register" for dialect in discover()]
    return {name.split(".")[2]: import_module(name).REGISTER for name in names if find_spec(name)}
