"""Finds the route of a path.

All templates are one tree of segments, compiled into one regular expression; a literal segment always wins over a
parameter. (Walking the tree in Python took 144 bytecodes for a document's path, the expression takes 34.) aiohttp's own
dispatcher is not used: it decodes leniently, so a segment that is not UTF-8 slips through, and it needs a request.

A trailing slash names nothing: the path without it is meant.
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
    slash: str = "/"  # the pattern of what separates it from the next segment


@dataclass(slots=True)
class _End:
    """An end of a path: its routes by method, and how its parameters are got from the match. `open`: it ends with a
    parameter that may be anything, for no literal stands beside it."""

    routes: dict[str, tuple[Dialect, Route]]
    parameters: Callable[[re.Match[str]], tuple[str, ...]]
    open: bool


class Router:
    def __init__(self, dialects: Iterable[Dialect]) -> None:
        root = _Node()
        prefixes = [(prefix.rstrip("/"), dialect) for dialect in dialects for prefix in dialect.prefixes]
        for dialect in dialects:
            for route in dialect.routes:
                _plant(root, dialect, route)
        self._owners = [dialect for _, dialect in prefixes]
        either = "|".join(f"({re.escape(prefix)})" for prefix, _ in prefixes)
        self._prefix = re.compile(f"(?:{either})(?:/|\\Z)").match
        self._ends: dict[int | None, _End] = {}  # by the number of the empty group that marks it
        self._groups = 0
        self._match = re.compile(self._expression(root, (), open=False)).fullmatch

    def _expression(self, node: _Node, parameters: tuple[int, ...], *, open: bool) -> str:
        """Return a regular expression of all that may follow the path that leads to `node`."""
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
        """The route of a raw path (still percent-encoded, without the query), and its parameters decoded.

        Raises NoSuchPath, NoSuchMethod, Invalid (a parameter is not UTF-8).
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
        """Would the path lead to the same route with any other last segment that is not empty, and only that parameter
        be another?"""
        match = None if path[-1:] == "/" else self._match(path)
        return match is not None and self._ends[match.lastindex].open

    def owner(self, path: str) -> Dialect | None:
        """The dialect below whose prefix, with or without its trailing slash, a path lies."""
        match = self._prefix(path)
        return None if match is None or match.lastindex is None else self._owners[match.lastindex - 1]


def _plant(node: _Node, dialect: Dialect, route: Route) -> None:
    for segment in route.template.split("/")[1:]:
        if segment.startswith("{"):
            node.parameter = node = node.parameter or _Node()
        else:
            node = node.literals.setdefault(segment, _Node())
        if dialect.merges_slashes:
            node.slash = "/++"  # possessive: no part of it is left over for an empty parameter
    if route.method in node.routes:
        raise ValueError(f"{route.method} {route.template} is served twice")
    node.routes[route.method] = (dialect, route)
    if route.method == "GET":
        node.routes.setdefault("HEAD", (dialect, route))


def _picker(groups: tuple[int, ...]) -> Callable[[re.Match[str]], tuple[str, ...]]:
    if len(groups) > 1:
        return itemgetter(*groups)  # in C, and of a match's groups a tuple
    return lambda match: tuple(match[group] for group in groups)


def _decoded(segment: str) -> str:
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise Invalid("the path is not UTF-8") from None
