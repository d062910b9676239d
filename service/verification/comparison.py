"""Comparison of an answer with the one that a conversation expects.

JSON is compared token by token: members must be in the same order and numbers must have the same digits; white space is
ignored.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from service.verification.conversations import HOLE, Message

SORTS = {
    "hex": "[0-9a-f]{32}",
    "uuid": "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "number": r"-?\d+(?:\.\d+)?",
    "text": ".*",
    "seconds": r"\d{10}\.\d{1,6}",
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z",
    "date": r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT",
}
NOTHING = "(nothing)"
_token = re.compile(r'"(?:[^"\\]|\\.)*"|\{\{\w*(?::\w+)?\}\}|[^\s{}\[\],:"]+|[{}\[\],:]')


@dataclass(frozen=True, slots=True)
class Difference:
    """A part of an answer that is not as expected: `status`, `header NAME`, `body`, or `member PATH` of a JSON body."""

    part: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class Members:
    """The members of a JSON object in their order; a name may be repeated."""

    pairs: list[tuple[str, "Tree"]]


Tree = str | list["Tree"] | Members  # a string, number or literal is its token


def differences(
    expected: Message, status: int, headers: Mapping[str, str], body: str, known: dict[str, str]
) -> list[Difference]:
    """Return everything in an answer that is not as expected. Values that placeholders name are added to `known`."""
    found = []
    wanted = expected.start.split(" ")[1]
    if wanted != str(status):
        found.append(Difference("status", wanted, str(status)))
    for name, value in expected.headers:
        given = headers.get(name)
        if (given is not None) if value == "{{absent}}" else not _matches(value, given or "", known):
            expectation = NOTHING if value == "{{absent}}" else _readable(value, known)
            found.append(Difference(f"header {name}", expectation, NOTHING if given is None else given))
    if expected.body:
        found += compare(expected.body, body, known)
    return found


def compare(expected: str, actual: str, known: dict[str, str]) -> list[Difference]:
    """Return the differences between two bodies, member by member if JSON is expected."""
    if expected[0] not in "{[":
        return [] if _matches(expected, actual, known) else [Difference("body", _readable(expected, known), actual)]
    wanted = _tree(expected)
    try:
        return list(_walk(wanted, _tree(actual), "", known))
    except (ValueError, RecursionError):  # not JSON, or nested more deeply than any expected body
        return [Difference("body", _readable(expected, known), actual or NOTHING)]


def _walk(wanted: Tree, found: Tree, path: str, known: dict[str, str]) -> Iterator[Difference]:
    if isinstance(wanted, Members) and isinstance(found, Members):
        yield from _members(wanted, found, path, known)
    elif isinstance(wanted, str) and isinstance(found, str):
        if not _matches(wanted, found, known):
            yield _at(path, _readable(wanted, known), found)
    elif isinstance(wanted, list) and isinstance(found, list):
        for number in range(max(len(wanted), len(found))):
            at = f"{path}[{number}]"
            if number >= len(wanted):
                yield _at(at, NOTHING, _text(found[number]))
            elif number >= len(found):
                yield _at(at, _readable(_text(wanted[number]), known), NOTHING)
            else:
                yield from _walk(wanted[number], found[number], at, known)
    else:
        yield _at(path, _readable(_text(wanted), known), _text(found))


def _members(wanted: Members, found: Members, path: str, known: dict[str, str]) -> Iterator[Difference]:
    left = list(found.pairs)
    paired = []
    for name, value in wanted.pairs:
        at = f"{path}.{_name(_readable(name, known))}".lstrip(".")
        pair = next((pair for pair in left if _matches(name, pair[0], known)), None)
        if pair is None:
            yield _at(at, _readable(_text(value), known), NOTHING)
            continue
        left.remove(pair)
        paired.append(pair)
        yield from _walk(value, pair[1], at, known)
    for name, value in left:
        yield _at(f"{path}.{_name(name)}".lstrip("."), NOTHING, _text(value))
    names = [name for name, _ in paired]
    if (order := [name for name, value in found.pairs if (name, value) in paired]) != names:
        yield _at(path, f"the order {', '.join(names)}", f"the order {', '.join(order)}")


def _at(path: str, expected: str, got: str) -> Difference:
    return Difference(f"member {path}" if path else "body", expected, got)


def _name(token: str) -> str:
    try:
        return str(json.loads(token))
    except ValueError:
        return token


def _text(tree: Tree) -> str:
    if isinstance(tree, str):
        return tree
    if isinstance(tree, Members):
        return "{" + ", ".join(f"{name}: {_text(value)}" for name, value in tree.pairs) + "}"
    return "[" + ", ".join(map(_text, tree)) + "]"


def _tree(text: str) -> Tree:
    """Parse JSON and keep each token as it is written. Raises ValueError if the text is not JSON."""
    tokens = iter(_token.findall(text))
    tree = _value(_next(tokens), tokens)
    if next(tokens, None) is not None:
        raise ValueError("there is text behind the end")
    return tree


def _next(tokens: Iterator[str]) -> str:
    token = next(tokens, None)
    if token is None:
        raise ValueError("it is cut off")
    return token


def _value(token: str, tokens: Iterator[str]) -> Tree:
    if token == "{":
        members = Members([])
        for name in _items("}", tokens):
            if name in "{}[],:" or _next(tokens) != ":":
                raise ValueError("a member has no name")
            members.pairs.append((name, _value(_next(tokens), tokens)))
        return members
    if token == "[":
        return [_value(first, tokens) for first in _items("]", tokens)]
    if token in "}],:":
        raise ValueError("a value is missing")
    return token


def _items(end: str, tokens: Iterator[str]) -> Iterator[str]:
    """Yield the first token of each item of an object or array. The caller reads the rest of each item."""
    token = _next(tokens)
    if token == end:
        return
    yield token
    while (token := _next(tokens)) != end:
        if token != ",":
            raise ValueError("a comma is missing")
        yield _next(tokens)


def _matches(expected: str, actual: str, known: dict[str, str]) -> bool:
    """Return True if a text is as expected. Values that its placeholders name are added to `known`."""
    found = re.fullmatch(_pattern(expected, known), actual, re.DOTALL)
    if found is None:
        return False
    known.update(found.groupdict())
    return True


def _pattern(expected: str, known: Mapping[str, str]) -> str:
    return "".join(re.escape(text) if hole is None else _wanted(hole, known) for text, hole in _parts(expected))


def _parts(expected: str) -> Iterable[tuple[str, re.Match[str] | None]]:
    end = 0
    for hole in HOLE.finditer(expected):
        yield expected[end : hole.start()], None
        yield "", hole
        end = hole.end()
    yield expected[end:], None


def _wanted(hole: re.Match[str], known: Mapping[str, str]) -> str:
    name, sort = hole.groups()
    if not sort:
        return re.escape(known[name]) if name in known else "(?!)"  # no match: an earlier answer lacked this value
    return f"(?P<{name}>{SORTS[sort]})" if name else f"(?:{SORTS[sort]})"


def _readable(expected: str, known: Mapping[str, str]) -> str:
    """Return the expected text for people: known values are filled in, others are shown as their sort: `<uuid>`."""
    return HOLE.sub(lambda hole: f"<{hole[2]}>" if hole[2] else known.get(hole[1], f"<{hole[1]}>"), expected)
