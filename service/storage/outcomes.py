"""The outcomes of an attempt to restore something in a store."""

from enum import Enum


class Outcome(Enum):
    """The fate of something that was to be restored."""

    STORED = "stored"
    PRESENT = "present"  # exactly this was there
    DIFFERENT = "different"  # something else was there, and was left
    EXPIRED = "expired"  # its time is over
