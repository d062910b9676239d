"""Remembers which collections this worker knows to be registered, so that a first record costs no extra command.

A proof is the time of a registration (us, as Redis told it); scripts take it for ten minutes
(lua/include/admission_error.lua), this cache gives it out for five.
"""

from time import monotonic

from service.storage.keys import Collection

LIFETIME = 300.0  # seconds
SIZE = 10_000  # collections; the cache starts afresh beyond that


class RegistrationCache:
    def __init__(self) -> None:
        self._known: dict[str, tuple[str, float]] = {}  # by tag: a string keeps its hash

    def get(self, collection: Collection) -> str:
        """The proof, or '' where there is none that is good."""
        proof, until = self._known.get(collection.tag, ("", 0.0))
        return proof if monotonic() < until else ""

    def keep(self, collection: Collection, proof: str) -> str:
        if len(self._known) >= SIZE:
            self._known.clear()
        self._known[collection.tag] = (proof, monotonic() + LIFETIME)
        return proof
