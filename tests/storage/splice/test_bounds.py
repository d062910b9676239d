"""Tests that no input makes a splice run without limit, in Redis or in the worker, and that it never recurses."""

import json
from time import process_time

import pytest
from hypothesis import given

from service.api.parsing import validate
from service.storage.errors import TooLarge
from service.storage.records.splice import splice
from tests.lengths import examples
from tests.storage.splice.conftest import Splice, in_python
from tests.storage.splice.reference import merge
from tests.storage.splice.script import Script
from tests.storage.splice.texts import pairs, pairs_of_one


def of(members: list[str]) -> str:
    return f"{{{','.join(members)}}}"


ADVERSE = {  # targets that take many steps for their size, with a patch
    "members": (of([f'"{i}":1' for i in range(9000)]), '{",":1}'),
    "duplicates": (of(['"a":1'] * 9000), '{"a":2}'),
    "escaped names": (of(['"\\u0061":1'] * 9000), '{"b":2}'),
    "escaped quotes": (of(['"k":"' + '\\"' * 40_000 + '"']), '{"b":2}'),
    "backslashes": (of(['"k":"' + "\\\\" * 40_000 + '"']), '{"b":2}'),
    "brackets": (of(['"k":["[",' + "[]," * 20_000 + "[]]"]), '{"b":2}'),
    "unbalanced strings": (of(['"k":["["]'] * 9000), '{"b":2}'),
    "white space": (of(['"k":1', " " * 200_000 + '"l":1']), '{"b":2}'),
    "a large patch": ("{}", of([f'"{i}":{{"x":null}}' for i in range(5000)])),
    "a value given many times": (of(['"a":1'] * 1000), of([f'"a":"{"x" * 5000}"'])),
}


@pytest.mark.parametrize(("target", "patch"), ADVERSE.values(), ids=ADVERSE)
def test_budget_that_does_not_suffice_gives_nothing_and_the_worker_merges(
    splicers: dict[str, Script], target: str, patch: str
) -> None:
    expected = merge(target, patch)
    for script in splicers.values():
        assert script.splice([(target, patch)], budget=10_000) == [None]
        assert script.splice([(target, patch)]) == [expected]
    assert in_python(target, patch) == expected


@examples(60, 200)
@given(pair=pairs() | pairs_of_one())
def test_any_budget_gives_the_whole_result_or_nothing(splicers: dict[str, Script], pair: tuple[str, str]) -> None:
    expected = merge(*pair)
    steps = {script.least_budget(*pair, expected) for script in splicers.values()}
    assert len(steps) == 1, "the steps depend on the texts alone, not on the server"


SPACES = " " * 110
SHORT = {  # patches of 230 to 250 bytes
    "white space on both sides": f'{{"a":{SPACES}1{SPACES}}}',
    "white space before": f'{{"a":{SPACES}{SPACES}1 }}',
    "two members": f'{{"a":{SPACES}1,{SPACES}"b":1}}',
    "an array": f'{{"a":{SPACES}{SPACES}[1]}}',
    "a long number": f'{{"a":{"1" * 240} }}',
    "a string and white space": f'{{"a":"{SPACES}{SPACES}" }}',
    "a long name": f'{{"{"a" * 240}" :1}}',
}


@pytest.mark.parametrize("patch", SHORT.values(), ids=SHORT)
def test_a_short_patch_takes_redis_little_more_than_a_usual_one(splicers: dict[str, Script], patch: str) -> None:
    """Compared are the least times of many calls: a pattern that is tried from many places takes a hundred times."""
    usual = f'{{"a":"{"x" * 240}"}}'
    for script in splicers.values():
        least = {usual: 1e9, patch: 1e9}
        for text in [usual, patch] * 8:
            script.client.config_resetstat()
            script.splice([('{"a":1,"c":2}', text)] * 20)
            statistics = script.client.info("commandstats")["cmdstat_evalsha"]
            least[text] = min(least[text], statistics["usec_per_call"])
        assert least[patch] < 20 * least[usual]


def test_budget_limits_the_result(splicers: dict[str, Script]) -> None:
    target, patch = ADVERSE["a value given many times"]
    grown = [(target[: 6 * n] + target[-6:], patch) for n in range(1, 40)]
    for script in splicers.values():
        results = script.splice(grown, budget=2000)
        assert results[0] is not None
        assert results[-1] is None
        assert all(len(result.encode()) <= 32 * 2000 for result in results if result)


def test_small_documents_take_few_steps(splicers: dict[str, Script]) -> None:
    target = '{"name":"Ada Lovelace","age":36,"email":"ada@example.org","active":true,"tags":["a","b"],"city":"London"}'
    for script in splicers.values():
        assert script.splice([(target, '{"age":37,"city":"Paris"}')], budget=150) != [None]


@pytest.mark.parametrize("depth", [7, 33, 100, 1000])
def test_depth_uses_no_stack(apply: Splice, depth: int) -> None:
    target = '{"a":[],"d":' * depth + "1" + "}" * depth
    assert apply(target, '{"d":' * depth + "2" + "}" * depth) == target.replace('"d":1', '"d":2')
    nulls = '{"n":null,"d":' * depth + "2" + "}" * depth
    assert apply("[]", nulls) == '{"d":' * depth + "2" + "}" * depth
    assert apply(target, '{"b":1}') == f'{target[:-1]},"b":1}}'


@pytest.mark.parametrize("depth", [7, 33, 450])
def test_a_long_value_takes_little_more_than_its_validation(depth: int) -> None:
    unit = b"[" * depth + b"]" * depth
    target = b'{"a":[%b]}' % b",".join([unit] * (4_000_000 // len(unit)))
    began = process_time()
    validate(target)
    read = process_time()
    assert splice(target, b'{"b":1}') == target[:-1] + b',"b":1}'
    assert process_time() - read < 20 * (read - began)


def test_worker_splices_large_documents() -> None:
    documents = {
        f"user{i}": {"name": f"é{i}", "tags": ["a", {"b": [i]}], "text": 'q"{' * (i % 9)} for i in range(20000)
    }
    target = json.dumps(documents)
    result = in_python(target, '{"user7":null,"user15000":{"name":"new"},"user19999":{"tags":[]},"more":1}')
    del documents["user7"]
    documents["user15000"]["name"] = "new"
    documents["user19999"]["tags"] = []
    assert json.loads(result) == {**documents, "more": 1}
    assert list(json.loads(result)) == [*documents, "more"]


def test_result_over_the_limit_is_refused_before_it_is_built() -> None:
    target = b'{"a":1' + b',"a":1' * 100_000 + b"}"
    patch = b'{"a":"' + b"x" * 1_000_000 + b'"}'
    with pytest.raises(TooLarge):
        splice(target, patch, limit=10_000_000)


def test_result_of_exactly_the_limit_is_made() -> None:
    assert splice(b'{"a":1}', b'{"a":22}', limit=8) == b'{"a":22}'
    with pytest.raises(TooLarge):
        splice(b'{"a":1}', b'{"a":22}', limit=7)


def test_work_without_any_result_is_limited_too() -> None:
    """Quadratic at a careless design: many objects of one name, each given many members that are all null."""
    target = b"{" + b",".join([b'"a":{},"a":1'] * 20_000) + b"}"
    patch = b'{"a":{' + b",".join(b'"%d":null' % i for i in range(20_000)) + b"}}"
    assert splice(target, patch) == target.replace(b'"a":1', b'"a":{}')
