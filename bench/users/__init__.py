"""The users: one module for each dialect, with one class, found by discovery. To add one, nothing here is edited."""

from importlib import import_module
from pkgutil import iter_modules

from bench.dialect_user import DialectUser


def discover() -> dict[str, type[DialectUser]]:
    """Return the user classes of all dialects by their names."""
    found = {}
    for module in iter_modules(__path__):
        for value in vars(import_module(f"{__name__}.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, DialectUser) and not value.abstract:
                found[value.__name__] = value
    return found
