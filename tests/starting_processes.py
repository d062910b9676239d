"""Finds the tests that start processes by reading their code, so that `make check` can leave them out.

A test starts processes if its function, the function of one of its fixtures, or one of its parameters refers to one of
STARTERS, directly or through other functions and classes of this tree.
"""

from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType

import pytest

STARTERS = {"subprocess", "create_subprocess_exec"}
OURS = ("tests.", "service.", "bench.")
_known: dict[object, bool] = {}


def starts_processes(item: pytest.Function) -> bool:
    """Return True if a test, one of its fixtures or one of its parameters starts a process."""
    definitions = item._fixtureinfo.name2fixturedefs.values()
    parameters = filter(_is_ours, item.callspec.params.values()) if hasattr(item, "callspec") else ()
    fixtures = (each.func for found in definitions for each in found)
    return any(_starts(each) for each in (item.function, *fixtures, *parameters))


def _starts(thing: object) -> bool:
    """Return True if a function or class refers to one of STARTERS, directly or through others."""
    if thing not in _known:
        _known[thing] = False  # ends the recursion where functions refer to each other
        _known[thing] = any(each in STARTERS if isinstance(each, str) else _starts(each) for each in _referred(thing))
    return _known[thing]


def _referred(thing: object) -> Iterator[object]:
    """Yield the names in the code of a function or class, and the functions and classes of this tree that they mean."""
    if isinstance(thing, type):
        values = [getattr(value, "__func__", getattr(value, "fget", value)) for value in vars(thing).values()]
        yield from (value for value in values if isinstance(value, FunctionType))
        yield from (base for base in thing.__bases__ if base.__module__.startswith(OURS))
    elif isinstance(thing, FunctionType):
        names = set(_names(thing.__code__))
        yield from names
        for name in names:
            meant = thing.__globals__.get(name)
            if isinstance(meant, ModuleType) and meant.__name__.startswith(OURS):  # perhaps `module.function`
                yield from filter(_is_ours, (getattr(meant, each, None) for each in names))
            meant = getattr(meant, "__wrapped__", meant)
            if _is_ours(meant):
                yield meant


def _is_ours(thing: object) -> bool:
    return isinstance(thing, FunctionType | type) and thing.__module__.startswith(OURS)


def _names(code: CodeType) -> Iterator[str]:
    """Yield all names that a code object uses, also in the functions inside of it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
