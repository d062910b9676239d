"""Reader of the access document: YAML or JSON, converted into the types of the dialects' sections.

Invariant: an error names the position (line and column, or the path of a member) and the reason. It never quotes the
document, because the document holds credentials.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec
import orjson
import yaml
from msgspec import inspect

from service.api.access_types import MEANINGS, InvalidValue, custom

LARGEST = 10**18 - 1  # the largest number, of either sign; an id with more digits must be written as a string


class Malformed(Exception):
    """An access document that cannot be applied; the text names the position and the reason."""


def read(text: bytes | str) -> Any:
    """Parse an access document, JSON or YAML. Raises Malformed."""
    try:
        document = orjson.loads(text)
        json.loads(text, object_pairs_hook=_refuse_repeated)
        return document
    except ValueError:  # not JSON, or a repeated key: JSON is a subset of YAML, and the YAML parser knows the position
        return _read_yaml(text)


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise ValueError


# libyaml parses ten times as fast as Python, but its composer, which builds the tree, crashes on deep nesting.
_BASES: Any = (yaml.composer.Composer, yaml.CSafeLoader) if yaml.__with_libyaml__ else (yaml.SafeLoader,)


class _Loader(*_BASES):  # type: ignore[misc]
    """A YAML loader that refuses repeated keys and aliases. Aliases would let a short document expand without limit."""

    def __init__(self, text: bytes | str) -> None:
        _BASES[-1].__init__(self, text)
        self.anchors: dict[str, yaml.Node] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise _at(self.peek_event().start_mark, "aliases are not supported: write the value out")
        return super().compose_node(parent, index)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (yaml.constructor.ConstructorError, ArithmeticError, AttributeError, LookupError, ValueError):
            raise _at(node.start_mark, "this value is not supported, or does not match its tag") from None
        if isinstance(value, int) and not -LARGEST <= value <= LARGEST:  # Redis and JSON cannot hold it exactly
            raise _at(node.start_mark, "a number of more than 18 digits must be written in quotation marks")
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _at(key.start_mark, "a key must be a string or a number")
            name = str(self.construct_object(key))  # ids are compared as strings
            if name in seen:
                raise _at(key.start_mark, "this key occurs twice in its map")
            seen.add(name)
        return super().construct_mapping(node, deep)


def _at(mark: Any, reason: str) -> Malformed:
    return Malformed(f"line {mark.line + 1}, column {mark.column + 1}: {reason}")


def _read_yaml(text: bytes | str) -> Any:
    try:
        return _Loader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        # A quoted text of the YAML parser's message may come from the document: only single characters are kept.
        problem = re.sub(
            r"(['\"])(.*?)\1", lambda quoted: quoted[0] if len(quoted[2]) == 1 else "...", str(error.problem)
        )
        raise _at(error.problem_mark, f"not YAML or JSON: {problem}") from None
    except RecursionError:
        raise Malformed("the document is nested too deeply") from None
    except (yaml.reader.ReaderError, ValueError) as error:
        position = getattr(error, "position", getattr(error, "start", 0))
        raise Malformed(
            f"position {position}: not YAML or JSON: a byte that is not UTF-8, or a control character"
        ) from None


def convert(name: str, content: Any, kind: Any) -> Any:
    """Convert the content of one section into `kind`, the dialect's type for it. Raises Malformed."""
    try:
        return msgspec.convert({} if content is None else content, kind, strict=True, dec_hook=custom)
    except msgspec.ValidationError as error:
        text, _, path = str(error).rpartition(" - at ") if " - at `" in str(error) else (str(error), "", "`$`")
        path = path.split("`")[-2].removeprefix("$")
        if isinstance(error.__cause__, InvalidValue):
            raise Malformed(f"{name}{path}{error.__cause__.path}: {error.__cause__}") from None
        place = "a key of " if "`key` in" in str(error) else ""
        raise Malformed(f"{place}{name}{path}: {_reason(text, kind, path)}") from None


_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "array": "a list",
    "object": "a map",
    "null": "null",
    "date": "a date",
    "datetime": "a date",
}
_PATTERNS = {repr(pattern): meaning for pattern, meaning in MEANINGS.items()}
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def _reason(text: str, kind: Any, path: str) -> str:
    """Translate an error message of msgspec for the author of the document."""
    if match := re.fullmatch(r"Expected `([^`]+)`, got `([^`]+)`", text):
        wanted, given = ([_WORDS.get(each, "something else") for each in part.split(" | ")] for part in match.groups())
        return f"it must be {' or '.join(wanted)}, not {given[0]}"
    if match := re.fullmatch(r"Expected `\w+` matching regex (.+)", text):
        return f"it must be {_PATTERNS.get(match[1], 'written differently')}"
    if match := re.fullmatch(r"Expected `\w+` (of length )?([<>]=?) (\S+)", text):
        return f"it must {'have' if match[1] else 'be'} {_BOUNDS[match[2]]} {match[3]}{' characters' * bool(match[1])}"
    if match := re.fullmatch(r"Object missing required field `(\w+)`", text):
        return f"the member {match[1]} is missing"
    found = list(_types([inspect.type_info(kind)], path))
    if text.startswith("Object contains unknown field"):
        names = (field.name for each in found if isinstance(each, inspect.StructType) for field in each.fields)
        return f"it has an unknown member; there are {', '.join(names)}"
    words = [str(word) for each in found if isinstance(each, inspect.LiteralType) for word in each.values]
    return f"it must be one of {', '.join(words)}" if words else "it cannot be used"


def _types(kinds: Iterable[inspect.Type], path: str) -> Iterable[inspect.Type]:
    """Yield the types that the value at a path may have, the members of unions one by one."""
    for name in re.findall(r"\.(\w+)|\[", path):
        kinds = [part for each in _flat(kinds) for part in _parts(each, name)]
    return _flat(kinds)


def _flat(kinds: Iterable[inspect.Type]) -> Iterable[inspect.Type]:
    for kind in kinds:
        yield from _flat(kind.types) if isinstance(kind, inspect.UnionType) else (kind,)


def _parts(kind: inspect.Type, name: str) -> Iterable[inspect.Type]:
    if isinstance(kind, inspect.StructType):
        return [field.type for field in kind.fields if field.name == name]
    if isinstance(kind, inspect.DictType):
        return [kind.value_type]
    return [kind.item_type] if isinstance(kind, inspect.ListType) else []
