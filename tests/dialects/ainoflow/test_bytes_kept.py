"""Tests that generated documents come back byte for byte, and that generated patches change only what they name.

The reference merge works on texts: an object is the list of its members in order, any other value is its text. So
digits, escapes and the order of members must be equal. White space is compared separately.
"""

import json
import re
from contextlib import closing
from hashlib import md5
from http.client import HTTPConnection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.ainoflow.client import Client, at
from tests.lengths import some

Value = str | list[tuple[str, "Value"]]  # a name is its text, too, with its quotes

PADS = [0] * 57 + [31_000, 130_000, 600_000]  # bytes: stored inline, sent ahead, merged in the worker

_token = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+|[{}\[\],:]')

# Values are drawn from lists where possible: for Hypothesis, generating a text takes ten times as long as a choice.
STRINGS = [
    '""',
    '"a"',
    '"\\u0061"',
    '"b"',
    '"c d"',
    '"é"',
    '"\\u00e9"',
    '"日本"',
    '"\U0001f600"',
    '"\\ud83d\\ude00"',
    '"{}"',
    '"}{]["',
    '"n\\"q"',
    '"\\\\"',
    '"\\\\\\""',
    '"\\/"',
    '"/"',
    '"\\b\\f\\n\\r\\t"',
    '"\\u0000"',
    '", \\"a\\" : 1"',
    '"null"',
    '"\x7f\u2028"',
]
NUMBERS = [
    "0",
    "-0",
    "-0.0",
    "1",
    "1.0",
    "1.50",
    "1e2",
    "1E+2",
    "1E-07",
    "0.1",
    "3.141592653589793238462643383279",
    "1e-400",
    "1e400",
    "9007199254740993",
    "100000000000001",
    "12345678901234567890",
    "-123456789012345678901234567890",
    "1.7976931348623157e308",
]
characters = st.characters(exclude_categories=["Cs"])
quoted = st.sampled_from(STRINGS) | st.text(characters, max_size=5).map(json.dumps)
numbers = st.sampled_from(NUMBERS) | st.floats(allow_nan=False, allow_infinity=False).map(repr)
plain = st.one_of(quoted, numbers, st.sampled_from(["true", "false", "[]"]))
arrays = st.lists(plain | st.just("null"), max_size=3).map(lambda items: f"[{' ,'.join(items)} ]")
# There are only a few names, so that patches and documents have some in common. Some are one name in several spellings.
names = st.sampled_from(STRINGS[:15])


Members = list[tuple[str, Value]]


def objects(values: st.SearchStrategy[Value]) -> st.SearchStrategy[Members]:
    return st.lists(st.tuples(names, values), max_size=4, unique_by=lambda member: json.loads(member[0]))


nested: st.SearchStrategy[Value] = st.recursive(plain | arrays | st.just("null"), objects, max_leaves=6)
styles = st.sampled_from(["", " ", "\n  ", "\t", "\r\n"])


def written(value: Value, space: str) -> str:
    """Return the text of a value, with this white space wherever it is allowed."""
    if isinstance(value, str):
        return value
    members = (f"{space}{name}{space}:{space}{written(inner, space)}{space}" for name, inner in value)
    return "{" + (",".join(members) or space) + "}"


def merged(target: Value, patch: Value) -> Value:
    """Merge as in RFC 7386, section 2; new members are added at the end."""
    if isinstance(patch, str):
        return patch
    changes = {json.loads(name): (name, change) for name, change in patch}
    kept: list[tuple[str, Value]] = []
    for name, inner in [] if isinstance(target, str) else target:
        _, change = changes.pop(json.loads(name), (name, None))
        if change != "null":
            kept.append((name, inner if change is None else merged(inner, change)))
    return kept + [(name, merged([], change)) for name, change in changes.values() if change != "null"]


def ask(connection: HTTPConnection, key: str, method: str, target: str, body: str = "") -> bytes:
    """Return the body of an answer. Fail if its status is not 200."""
    connection.request(method, target, body.encode() or None, {"Authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    found = answer.read()
    assert answer.status == 200, found
    return found


@pytest.mark.long
def test_generated_documents_and_patches_keep_every_byte(project: Client) -> None:
    connection = HTTPConnection(project.running.url.removeprefix("http://"))
    target = at("d", "k")

    @some(150, 1000)
    @given(objects(nested), objects(nested), styles, styles, st.sampled_from(PADS))
    def check(document: Members, patch: Members, space: str, other: str, pad: int) -> None:
        document = [*document, ('"pad"', f'"{"x" * pad}"')]
        text = written(document, space)
        receipt = json.loads(ask(connection, project.key, "PUT", target, text))
        assert ask(connection, project.key, "GET", target).decode() == text
        assert receipt["etag"] == md5(text.encode()).hexdigest()
        patched = json.loads(ask(connection, project.key, "PATCH", target, written(patch, other)))
        found = ask(connection, project.key, "GET", target)
        assert patched["etag"] == md5(found).hexdigest()
        assert _token.findall(found.decode()) == _token.findall(written(merged(document, patch), ""))
        named = {json.loads(name) for name, _ in patch}
        for name, inner in document:
            assert json.loads(name) in named or f"{name}{space}:{space}{written(inner, space)}" in found.decode()

    with closing(connection):
        check()
