"""The runner of conversations notices what differs; else every conversation would go well."""

from pathlib import Path

import pytest

from tests.conversations import load, same

FILES = sorted((Path(__file__).parent / "dialects").glob("*/*.http"))

ALIKE = [
    ('{"a": 1, "b": [true]}', '{"a":1,"b":[true]}'),
    ('{"key": "{{:hex}}"}', '{"key":"0123456789abcdef0123456789abcdef"}'),
    ('{"at": "{{:time}}"}', '{"at":"2024-01-15T10:30:00.123456Z"}'),
    ('{"size": {{:number}}}', '{"size":12}'),
    ('{"etag": "{{known}}"}', '{"etag":"it"}'),
    ('["{{:text}}", {}]', '["a \\"quoted\\" {text}",{}]'),
    ("plain {{known}}", "plain it"),
]
DIFFERENT = [
    ('{"a": 1}', '{"a":2}'),
    ('{"a": 1.0}', '{"a":1}'),
    ('{"a": 1, "b": 2}', '{"b":2,"a":1}'),
    ('{"a": 1}', '{"a":1,"b":2}'),
    ('{"a": null}', '{"a":"null"}'),
    ('{"a": "b c"}', '{"a":"bc"}'),
    ('{"key": "{{:hex}}"}', '{"key":"0123"}'),
    ('{"etag": "{{known}}"}', '{"etag":"other"}'),
    ("[]", ""),
    ("plain", "plain text"),
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_exchange_of_a_conversation_is_read(file: Path) -> None:
    exchanges = list(load(file))
    assert len(exchanges) == file.read_text().count("\n### ") > 0
    for exchange in exchanges:
        assert exchange.request.start.endswith(" HTTP/1.1"), exchange.where
        assert exchange.answer.start.startswith("HTTP/1.1 "), exchange.where
        assert all(name and value for name, value in exchange.request.headers + exchange.answer.headers), exchange.where


@pytest.mark.parametrize(("expected", "actual"), ALIKE)
def test_what_says_the_same_is_the_same(expected: str, actual: str) -> None:
    assert same(expected, actual, {"known": "it"})


@pytest.mark.parametrize(("expected", "actual"), DIFFERENT)
def test_what_says_something_else_is_not(expected: str, actual: str) -> None:
    assert not same(expected, actual, {"known": "it"})


def test_a_value_that_was_taken_down_is_known_from_then_on() -> None:
    known: dict[str, str] = {}
    assert same('["{{etag:hex}}"]', f'["{"a" * 32}"]', known)
    assert same('["{{etag}}"]', f'["{"a" * 32}"]', known)
    assert not same('["{{etag}}"]', f'["{"b" * 32}"]', known)
