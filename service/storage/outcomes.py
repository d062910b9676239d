"""The outcomes of an attempt to restore something in a store."""

from enum import Enum


class Outcome(Enum):
    """The outcome of restoring one record, entry or other thing."""

    STORED = "stored"
    PRESENT = "present"  # the store has exactly this already
    DIFFERENT = "different"  # the store has something else under this name, which was kept
    EXPIRED = "expired"  # it has expired meanwhile
