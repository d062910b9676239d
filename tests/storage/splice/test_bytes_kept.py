"""Tests that unnamed members keep their bytes and named ones follow the rules of records/splice.py."""

import pytest

from tests.storage.splice.conftest import Splice

UNTOUCHED = {
    "an empty array": "[]",
    "an empty object": "{ }",
    "a whole number past 1e14": "100000000000001",
    "a number past 64 bits": "12345678901234567890",
    "a whole float": "1.0",
    "a number past every double": "1E400",
    "minus zero": "-0",
    "an escaped slash": '"a\\/b"',
    "an escape for a plain letter": '"\\u0061"',
    "a surrogate pair": '"\\uD83D\\ude00"',
    "raw UTF-8": '"é 😀"',
    "seventeen levels": "[" * 17 + '{"deep":[]}' + "]" * 17,
    "a thousand levels": '[{"x":' * 500 + "1" + "}]" * 500,
    "members out of order": '{"z":1,"a":2,"m":{"y":1,"b":2}}',
    "duplicate names": '{"x":1,"x":2}',
    "brackets and quotes in strings": '["}]",{"{\\"":"]\\\\"},"[{"]',
    "an unbalanced bracket in a string": '["a","[",{"}":"{"}]',
    "loose white space": '[ 1 ,\t2\r\n, {  "a" : null } ]',
}


@pytest.mark.parametrize("value", UNTOUCHED.values(), ids=UNTOUCHED)
def test_value_keeps_its_bytes(apply: Splice, value: str) -> None:
    assert apply(f'{{"k":{value},"n":1}}', '{"n":2}') == f'{{"k":{value},"n":2}}'
    assert apply(f'{{"n":1,"k":{value}}}', '{"new":0}') == f'{{"n":1,"k":{value},"new":0}}'
    assert apply(f'{{"n":1,"o":{{"k":{value}}}}}', '{"o":{"x":1}}') == f'{{"n":1,"o":{{"k":{value},"x":1}}}}'


@pytest.mark.parametrize("value", UNTOUCHED.values(), ids=UNTOUCHED)
def test_value_of_the_patch_keeps_its_bytes_but_for_nulls_and_overridden_names(apply: Splice, value: str) -> None:
    value = "3" if '"x":1,"x":2' in value else value
    assert apply('{"n": 1 }', f'{{"n":{value}}}') == f'{{"n": {value} }}'
    assert apply("{}", f'{{"k" : {value} }}') == f'{{"k" : {value}}}'
    assert apply("[]", f' {{"k" : {value} }} ') == f' {{"k" : {value} }} '


@pytest.mark.parametrize("target", ["{}", " { } ", '{"a" : [ ] , "b":{}}\n', '\t{"a":1.00,"a":1e0}'])
@pytest.mark.parametrize("patch", ["{}", " {\n} ", '{"absent":null}', '{"c":null,"d":null}'])
def test_patch_that_changes_nothing_leaves_every_byte(apply: Splice, target: str, patch: str) -> None:
    assert apply(target, patch) == target


WHITE_SPACE = [  # target, patch, result
    ('{ "a": 1 , "b": 2 , "c": 3 }', '{"a":null}', '{ "b": 2 , "c": 3 }'),
    ('{ "a": 1 , "b": 2 , "c": 3 }', '{"b":null}', '{ "a": 1 , "c": 3 }'),
    ('{ "a": 1 , "b": 2 , "c": 3 }', '{"c":null}', '{ "a": 1 , "b": 2 }'),
    ('{ "a": 1 , "b": 2 , "c": 3 }', '{"a":null,"b":null}', '{ "c": 3 }'),
    ('{ "a": 1 , "b": 2 , "c": 3 }', '{"a":null,"b":null,"c":null}', "{ }"),
    ('{\n  "a": 1,\n  "b": 2\n}', '{"b":null}', '{\n  "a": 1\n}'),
    ('{\n  "a": 1,\n  "b": 2\n}', '{"a":null}', '{\n  "b": 2\n}'),
    ('{\n  "a": 1\n}', '{"a": null , "b" : 2 }', '{"b" : 2\n}'),
    ('{\n  "a": 1\n}', '{ "b" : 2 , "c":3 }', '{\n  "a": 1,"b" : 2,"c":3\n}'),
    ('{ "a" :\t1 }', '{"a": 2 }', '{ "a" :\t2 }'),
    (" {} ", ' { "a":1 } ', ' {"a":1} '),
    ("{ }", '{"a":1}', '{"a":1 }'),
    ("[]", ' { "a" : null , "b" : 1 , "c" : null } ', ' { "b" : 1 } '),
    ("{}", '{"o":{ "a" : null , "b" : 1 , "c" : null }}', '{"o":{ "b" : 1 }}'),
    ("{}", '{"o":{ "a" : null , "c" : null }}', '{"o":{ }}'),
    ('{"o":1}', '{"o":{ "a" : { "x":null } , "c" : [null] }}', '{"o":{ "a" : { } , "c" : [null] }}'),
]


@pytest.mark.parametrize(("target", "patch", "result"), WHITE_SPACE)
def test_removed_and_new_members_take_exactly_their_own_white_space(
    apply: Splice, target: str, patch: str, result: str
) -> None:
    assert apply(target, patch) == result


NAMES = [  # target, patch, result
    ('{"\\u0061":1,"b":2}', '{"a":3}', '{"\\u0061":3,"b":2}'),
    ('{"a":1,"b":2}', '{"\\u0061":3}', '{"a":3,"b":2}'),
    ('{"\\u0061":1}', '{"\\u0061":null}', "{}"),
    ('{"é":1}', '{"\\u00e9":2,"\\u00E9x":3}', '{"é":2,"\\u00E9x":3}'),
    ('{"\\ud83d\\ude00":1}', '{"😀":2}', '{"\\ud83d\\ude00":2}'),
    ('{"a\\/b":1}', '{"a/b":2}', '{"a\\/b":2}'),
    ('{"":1}', '{"":2}', '{"":2}'),
    ('{"a":""}', '{"":2}', '{"a":"","":2}'),
    ('{"\\u0000":1,"\\u0000a":2}', '{"\\u0000":3}', '{"\\u0000":3,"\\u0000a":2}'),
    ('{"a\\"":1,"\\\\":2}', '{"a\\"":3,"\\\\":4}', '{"a\\"":3,"\\\\":4}'),
    ('{"\\\\u0061":1}', '{"a":2}', '{"\\\\u0061":1,"a":2}'),
    ('{"a":1,"a":2,"b":3,"a":4}', '{"a":9}', '{"a":9,"a":9,"b":3,"a":9}'),
    ('{"a":1,"a":2,"b":3,"\\u0061":4}', '{"a":null}', '{"b":3}'),
    ('{"a":1,"a":{"x":1}}', '{"a":{"y":2}}', '{"a":{"y":2},"a":{"x":1,"y":2}}'),
    ('{"o":{"x":1},"o":{},"o":{"x":3}}', '{"o":{"x":2}}', '{"o":{"x":2},"o":{"x":2},"o":{"x":2}}'),
    ('{"a":1}', '{"a":2,"a":3}', '{"a":3}'),
    ('{"a":1}', '{"a":null,"a":3}', '{"a":3}'),
    ('{"a":1}', '{"a":3,"\\u0061":null}', "{}"),
    ('{"a":{"x":1}}', '{"a":{"x":2},"a":{"y":3}}', '{"a":{"x":1,"y":3}}'),
    ("{}", '{"a":1,"b":2,"a":3}', '{"b":2,"a":3}'),
    ("{}", '{"o":{"a":1,"b":2,"a":3}}', '{"o":{"b":2,"a":3}}'),
]


@pytest.mark.parametrize(("target", "patch", "result"), NAMES)
def test_names_are_compared_after_unescaping_and_the_last_of_the_patch_counts(
    apply: Splice, target: str, patch: str, result: str
) -> None:
    assert apply(target, patch) == result


LOOKALIKES = {  # members, and how often each name is a name of their object
    '"v":"x,",",":1': {",": 1},
    '"x":":","y":1': {},
    '"a":"b,","n":1': {"n": 1},
    '"v":"n","w":"n","n":1': {"n": 1},
    '"v":{"n":1},"w":["n",{"n":1}]': {},
    '"v":"\\"n\\":1,","w":"\\\\"': {},
    '"v":":","":1,",":1,":":1,"},{":1,"x,":1': {"": 1, ",": 1, ":": 1, "},{": 1, "x,": 1},
}


@pytest.mark.parametrize("name", ["n", ",", ":", "", "},{", "x,"])
@pytest.mark.parametrize("members", LOOKALIKES)
def test_name_is_found_only_as_a_name_of_this_object(apply: Splice, members: str, name: str) -> None:
    filler = "".join(f'"filler{i}":"{i}",' for i in range(60))  # long enough for the searches ahead
    target = f'{{{filler}{members},"last":0}}'
    result = apply(target, f'{{"{name}":2}}')
    if LOOKALIKES[members].get(name):
        assert result == target.replace(f'"{name}":1', f'"{name}":2')
    else:
        assert result == f'{target[:-1]},"{name}":2}}'


@pytest.mark.parametrize("value", ["1" * 100, f'"{"x" * 100}"', '"x,"', "[1,2]", '{"last":[]}', '"\\n"', "true"])
def test_long_flat_objects_change_only_at_named_members(apply: Splice, value: str) -> None:
    first, *rest = [f'"n{i}": {value}' for i in range(700)]
    changed = ['"n600": []' if member.startswith('"n600"') else member for member in rest]
    target = f'{{{", ".join([first, *rest])}, "last":1}}'
    assert apply(target, '{"last":2}') == f"{target[:-2]}2}}"
    assert apply(target, '{"more":3,"absent":null}') == f'{target[:-1]},"more":3}}'
    assert apply(target, '{"n0":null,"n600":[]}') == f'{{ {", ".join(changed)}, "last":1}}'
