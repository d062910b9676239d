"""Remembers the registrations of collections that this worker knows of, so that a first record needs no extra
command.

A registration is known by its time (us, from Redis). Scripts accept it for ten minutes
(lua/include/admission_error.lua); this cache returns it for five.
"""

from time import monotonic

from service.storage.keys import Collection

LIFETIME = 300.0  # seconds
SIZE = 10_000  # collections; beyond that all are dropped


class RegistrationCache:
    """The registrations that this worker knows of."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, float]] = {}  # by tag: a string caches its hash

    def get(self, collection: Collection) -> str:
        """Return the time of a collection's registration, "" if none is known that is young enough."""
        registered, until = self._known.get(collection.tag, ("", 0.0))
        return registered if monotonic() < until else ""

    def keep(self, collection: Collection, registered: str) -> str:
        """Remember a registration, and return it."""
        if len(self._known) >= SIZE:
            self._known.clear()
        self._known[collection.tag] = (registered, monotonic() + LIFETIME)
        return registered
