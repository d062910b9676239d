"""Both splices do what the reference does, to the byte, whatever the texts are."""

import json
from typing import Any

from hypothesis import given

from tests.effort import examples
from tests.storage.splice.conftest import in_python
from tests.storage.splice.reference import merge
from tests.storage.splice.script import Script
from tests.storage.splice.texts import large_pairs, pairs

Pair = tuple[str, str]


@examples(150, 1000)
@given(pair=pairs())
def test_every_splice_gives_the_bytes_of_the_reference(splicers: dict[str, Script], pair: Pair) -> None:
    expected = merge(*pair)
    assert in_python(*pair) == expected
    for script in splicers.values():
        assert script.splice([pair]) == [expected]


@examples(60, 300)
@given(pair=large_pairs())
def test_long_and_deep_values_are_passed_over_whole(pair: Pair) -> None:
    assert in_python(*pair) == merge(*pair)


def loaded(text: str) -> Any:
    """The text as Python has it, with numbers as they are written."""
    return json.loads(text, parse_int=lambda digits: ("number", digits), parse_float=lambda digits: ("number", digits))


def patched(target: Any, patch: Any) -> Any:
    """RFC 7386, section 2, as it is written there."""
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
def test_reference_means_what_the_rfc_says(pair: Pair) -> None:
    # Of duplicate names the last is what a reader sees, in target and result alike.
    target, patch = pair
    assert loaded(merge(target, patch)) == patched(loaded(target), loaded(patch))
