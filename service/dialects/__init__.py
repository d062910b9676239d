"""Discovery of the dialects: each module or package in this folder that has a `DIALECT`."""

from importlib import import_module
from pkgutil import iter_modules

from service.api.dialect import Dialect


def discover(wanted: tuple[str, ...] = ()) -> list[Dialect]:
    """Return all dialects, or the wanted ones, sorted by name. Raises ValueError for an unknown name."""
    found = {module.name: module.name for module in iter_modules(__path__)}
    if unknown := [name for name in wanted if name not in found]:
        raise ValueError(f"no such dialect: {', '.join(unknown)}; there are {', '.join(found)}")
    return [import_module(f"{__name__}.{name}").DIALECT for name in found if not wanted or name in wanted]


def readers() -> dict[tuple[str, str], str]:
    """Return the kinds of the links from subjects to the collections that they may read, by dialect and namespace."""
    return {(dialect.name, namespace): kind for dialect in discover() for namespace, kind in dialect.readers.items()}
