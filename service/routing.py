"""Finds the route of a path: a tree of path segments, the same for the ordinary and the fast path.

aiohttp's own dispatcher is not used: it decodes leniently (a segment that is not UTF-8 slips through), and it needs a
request object, which the fast path does not build. A literal segment always wins over a parameter.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from service.dialect import Dialect, NoSuchMethod, NoSuchPath, Route
from service.storage.errors import Invalid


@dataclass(slots=True)
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    parameter: "_Node | None" = None
    found: dict[str, tuple[Dialect, Route]] = field(default_factory=dict)  # by method


class Router:
    def __init__(self, dialects: Iterable[Dialect]) -> None:
        self._root = _Node()
        self._prefixes: list[tuple[str, Dialect]] = []
        for dialect in dialects:
            self._prefixes += [(prefix, dialect) for prefix in dialect.prefixes]
            for route in dialect.routes:
                self._add(dialect, route)

    def _add(self, dialect: Dialect, route: Route) -> None:
        node = self._root
        for segment in route.template.split("/")[1:]:
            if segment.startswith("{"):
                node.parameter = node = node.parameter or _Node()
            else:
                node = node.literals.setdefault(segment, _Node())
        if route.method in node.found:
            raise ValueError(f"{route.method} {route.template} is served twice")
        node.found[route.method] = (dialect, route)
        if route.method == "GET":
            node.found.setdefault("HEAD", (dialect, route))

    def find(self, method: str, path: str) -> tuple[Dialect, Route, tuple[str, ...]]:
        """The route of a raw path (still percent-encoded, without the query), and its parameters decoded.

        Raises NoSuchPath, NoSuchMethod, Invalid (a parameter is not UTF-8).
        """
        node, raw = self._root, []
        for segment in path.split("/")[1:]:
            if (literal := node.literals.get(segment)) is not None:
                node = literal
            elif node.parameter is not None:
                node = node.parameter
                raw.append(segment)
            else:
                raise NoSuchPath("there is nothing at this path")
        if (found := node.found.get(method)) is None:
            if not node.found:
                raise NoSuchPath("there is nothing at this path")
            raise NoSuchMethod(node.found)
        return *found, tuple([segment if "%" not in segment else _decoded(segment) for segment in raw])

    def owner(self, path: str) -> Dialect | None:
        """The dialect below whose prefix a path lies."""
        return next((dialect for prefix, dialect in self._prefixes if path.startswith(prefix)), None)


def _decoded(segment: str) -> str:
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise Invalid("the path is not UTF-8") from None
