"""Tests that both splices give the bytes of the reference for any texts."""

import json
from typing import Any

import pytest
from hypothesis import given

from tests.lengths import examples
from tests.storage.splice.conftest import Splice, in_python
from tests.storage.splice.reference import merge
from tests.storage.splice.script import Script
from tests.storage.splice.texts import large_pairs, pairs, pairs_of_one

Pair = tuple[str, str]


@examples(300, 2000)
@given(pair=pairs() | pairs_of_one())
def test_every_splice_gives_the_bytes_of_the_reference(splicers: dict[str, Script], pair: Pair) -> None:
    expected = merge(*pair)
    assert in_python(*pair) == expected
    for script in splicers.values():
        assert script.splice([pair]) == [expected]


@examples(60, 300)
@given(pair=large_pairs())
def test_long_and_deep_values_are_skipped_as_a_whole(pair: Pair) -> None:
    assert in_python(*pair) == merge(*pair)


@pytest.mark.parametrize(
    ("target", "patch"),
    [
        (r'{"\"a":1,"b":2}', '{"a":3}'),
        (r'{"a":1,"\u0061":2}', '{"a":3}'),
        (r'{"x/y":1,"x\/y":2}', '{"x/y":3}'),
        ('{"a":":1"}', '{":":2}'),
        ('{"a" : ":1"}', '{" : ":2}'),
        ('{"a":["",":1"]}', '{",":2}'),
        ('{"a":"x"}', '{"a":" y, z "}'),
        ('{"a":"x"}', '{"a":2 }'),
        (r'{"a":"\"","b":"}"}', '{"a":"y"}'),
        ('{"b":[["a","c"],{"a":1}],"a":1}', '{"a":2}'),
        ('{"b":["a"]}', '{"a":2}'),
        ('["a"]', '{"a":2}'),
        ('{"a":1,"b":2,"a":3}', '{"a":4}'),
        ('{"b":{"a":1},"c":2}', '{"a":3}'),
        ('{"a":1,"b":2}', '{"a":null}'),
        ('{"a":[1],"b":2}', '{"a":3}'),
    ],
)
def test_patches_of_one_member_give_the_bytes_of_the_reference(apply: Splice, target: str, patch: str) -> None:
    assert apply(target, patch) == merge(target, patch)


def loaded(text: str) -> Any:
    """The text as Python has it, with numbers as they are written."""
    return json.loads(text, parse_int=lambda digits: ("number", digits), parse_float=lambda digits: ("number", digits))


def patched(target: Any, patch: Any) -> Any:
    """The algorithm of RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = patched(result.get(name), value)
    return result


@examples(60, 300)
@given(pair=pairs())
def test_reference_agrees_with_the_rfc(pair: Pair) -> None:
    # Of duplicate names the last is what a reader sees, in target and result alike.
    target, patch = pair
    assert loaded(merge(target, patch)) == patched(loaded(target), loaded(patch))
