"""The dialects: one module each, found by discovery. Adding one edits nothing here."""

from importlib import import_module
from pkgutil import iter_modules

from service.api.dialect import Dialect


def discover(wanted: tuple[str, ...] = ()) -> list[Dialect]:
    """The dialects by name, all of them or the wanted ones. Raises ValueError for a name that there is not."""
    found = {module.name: module.name for module in iter_modules(__path__)}
    if unknown := [name for name in wanted if name not in found]:
        raise ValueError(f"no such dialect: {', '.join(unknown)}; there are {', '.join(found)}")
    return [import_module(f"{__name__}.{name}").DIALECT for name in found if not wanted or name in wanted]
