"""The router: finds the route of a path.

All templates form one tree of segments, which is compiled into one regular expression. A literal segment takes
precedence over a parameter. (For a document's path, walking the tree in Python took 144 bytecodes, the expression takes
34.) aiohttp's dispatcher is not used: it accepts segments that are not UTF-8, and it needs a request object.

A trailing slash is ignored.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from urllib.parse import unquote_to_bytes

from service.api.dialect import Dialect, NoSuchMethod, NoSuchPath, Route
from service.storage.errors import Invalid

Found = tuple[Dialect, Route, tuple[str, ...]]


@dataclass(slots=True)
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    parameter: "_Node | None" = None
    routes: dict[str, tuple[Dialect, Route]] = field(default_factory=dict)  # by method
    slash: str = "/"  # the pattern of the separator before the next segment


@dataclass(slots=True)
class _End:
    """The end of a template: its routes by method, and the function that takes its parameters from a match.

    `open`: its last segment is a parameter that can have any value, because there is no literal in the same position.
    """

    routes: dict[str, tuple[Dialect, Route]]
    parameters: Callable[[re.Match[str]], tuple[str, ...]]
    open: bool


class Router:
    """The routes and prefixes of all dialects of a worker."""

    def __init__(self, dialects: Iterable[Dialect]) -> None:
        root = _Node()
        prefixes = [(prefix.rstrip("/"), dialect) for dialect in dialects for prefix in dialect.prefixes]
        for dialect in dialects:
            for route in dialect.routes:
                _plant(root, dialect, route)
        self._owners = [dialect for _, dialect in prefixes]
        either = "|".join(f"({re.escape(prefix)})" for prefix, _ in prefixes)
        self._prefix = re.compile(f"(?:{either})(?:/|\\Z)").match
        self._ends: dict[int | None, _End] = {}  # by the number of the empty group at the end of its expression
        self._groups = 0
        self._match = re.compile(self._expression(root, (), open=False)).fullmatch

    def _expression(self, node: _Node, parameters: tuple[int, ...], *, open: bool) -> str:
        """Return a regular expression for everything that may follow the path to `node`."""
        branches = []
        if node.routes:
            self._groups += 1
            self._ends[self._groups] = _End(node.routes, _picker(parameters), open)
            branches.append("()")
        for segment, child in node.literals.items():
            branches.append(node.slash + re.escape(segment) + self._expression(child, parameters, open=False))
        if node.parameter is not None:
            others = "".join(f"(?!{re.escape(segment)}(?:/|\\Z))" for segment in node.literals)
            self._groups += 1
            group = self._groups
            rest = self._expression(node.parameter, (*parameters, group), open=not node.literals)
            branches.append(f"{node.slash}{others}([^/]*)" + rest)
        return f"(?:{'|'.join(branches)})"

    def find(self, method: str, path: str) -> Found:
        """Return the route of a raw path (percent-encoded, without the query), with its parameters decoded.

        Raises NoSuchPath, NoSuchMethod, and Invalid if a parameter is not UTF-8.
        """
        match = self._match(path if path[-1:] != "/" else path.rstrip("/"))
        if match is None:
            raise NoSuchPath("there is nothing at this path")
        end = self._ends[match.lastindex]
        found = end.routes.get(method)
        if found is None:
            raise NoSuchMethod(end.routes)
        parameters = end.parameters(match)
        return *found, parameters if "%" not in path else tuple(map(_decoded, parameters))

    def varies(self, path: str) -> bool:
        """Return True if any other non-empty last segment would lead to the same route and change only its
        parameter."""
        match = None if path[-1:] == "/" else self._match(path)
        return match is not None and self._ends[match.lastindex].open

    def owner(self, path: str) -> Dialect | None:
        """Return the dialect whose prefix a path has, with or without the prefix's trailing slash."""
        match = self._prefix(path)
        return None if match is None or match.lastindex is None else self._owners[match.lastindex - 1]


def _plant(node: _Node, dialect: Dialect, route: Route) -> None:
    for segment in route.template.split("/")[1:]:
        if segment.startswith("{"):
            node.parameter = node = node.parameter or _Node()
        else:
            node = node.literals.setdefault(segment, _Node())
        if dialect.merges_slashes:
            node.slash = "/++"  # possessive: backtracking must not leave a slash that begins an empty parameter
    if route.method in node.routes:
        raise ValueError(f"{route.method} {route.template} is served twice")
    node.routes[route.method] = (dialect, route)
    if route.method == "GET":
        node.routes.setdefault("HEAD", (dialect, route))


def _picker(groups: tuple[int, ...]) -> Callable[[re.Match[str]], tuple[str, ...]]:
    if len(groups) > 1:
        return itemgetter(*groups)  # runs in C, and returns a tuple
    return lambda match: tuple(match[group] for group in groups)


def _decoded(segment: str) -> str:
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise Invalid("the path must be UTF-8, percent-encoded") from None
