"""Tests that the comparison of answers finds every difference. Otherwise every conversation would pass."""

from http import HTTPStatus
from pathlib import Path

import pytest
from multidict import CIMultiDict

from service.verification.comparison import NOTHING, SORTS, Difference, compare, differences
from service.verification.conversations import HOLE, Message, load, shipped
from tests.running import ROOT

FILES = shipped()

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


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parts[-3]}/{file.stem}")
def test_every_exchange_of_a_conversation_is_read(file: Path) -> None:
    exchanges = list(load(file))
    assert len(exchanges) == file.read_text().count("\n### ") > 0
    for exchange in exchanges:
        assert exchange.request.start.endswith(" HTTP/1.1"), exchange.where
        assert exchange.answer.start.startswith("HTTP/1.1 "), exchange.where
        assert all(name and value for name, value in exchange.request.headers + exchange.answer.headers), exchange.where
    assert {hole[2] for hole in HOLE.finditer(file.read_text()) if hole[2]} <= set(SORTS)


@pytest.mark.parametrize(("expected", "actual"), ALIKE)
def test_equivalent_answers_are_equal(expected: str, actual: str) -> None:
    assert compare(expected, actual, {"known": "it"}) == []


@pytest.mark.parametrize(("expected", "actual"), DIFFERENT)
def test_different_answers_are_not_equal(expected: str, actual: str) -> None:
    assert compare(expected, actual, {"known": "it"})


def test_a_recorded_value_can_be_used_afterwards() -> None:
    known: dict[str, str] = {}
    assert compare('["{{etag:hex}}"]', f'["{"a" * 32}"]', known) == []
    assert compare('["{{etag}}"]', f'["{"a" * 32}"]', known) == []
    assert compare('["{{etag}}"]', f'["{"b" * 32}"]', known)


NAMED = [
    ('{"a": {"b": [1, 2.0]}}', '{"a": {"b": [1, 2]}}', [Difference("member a.b[1]", "2.0", "2")]),
    ('{"a": 1}', '{"a": 1, "b": [true]}', [Difference("member b", NOTHING, "[true]")]),
    ('{"a": 1, "b": {"c": null}}', '{"a": 1}', [Difference("member b", '{"c": null}', NOTHING)]),
    ('["x", "y"]', '["x"]', [Difference("member [1]", '"y"', NOTHING)]),
    ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', [Difference("body", 'the order "a", "b"', 'the order "b", "a"')]),
    ('{"a": 1, "a": 2}', '{"a": 1, "a": 3}', [Difference("member a", "2", "3")]),
    ('{"a": 1}', '{"a": [1]}', [Difference("member a", "1", "[1]")]),
    ('{"at": "{{:time}}"}', '{"at": 5}', [Difference("member at", '"<time>"', "5")]),
    ('{"a": 1}', "<html>", [Difference("body", '{"a": 1}', "<html>")]),
    ('{"a": 1}', '{"a": 1', [Difference("body", '{"a": 1}', '{"a": 1')]),
    ('{"a": 1}', "[" * 100_000, [Difference("body", '{"a": 1}', "[" * 100_000)]),
    ("plain", "other", [Difference("body", "plain", "other")]),
]


@pytest.mark.parametrize(("expected", "actual", "found"), NAMED)
def test_a_difference_names_the_member(expected: str, actual: str, found: list[Difference]) -> None:
    assert compare(expected, actual, {}) == found


def test_status_and_headers_are_compared() -> None:
    expected = Message("HTTP/1.1 200 OK", (("X-Page", "1"), ("ETag", "{{absent}}"), ("Allow", "GET")), "")
    found = differences(expected, 404, CIMultiDict({"x-page": "2", "etag": '"a"'}), "ignored", {})
    assert found == [
        Difference("status", "200", "404"),
        Difference("header X-Page", "1", "2"),
        Difference("header ETag", NOTHING, '"a"'),
        Difference("header Allow", "GET", NOTHING),
    ]


def test_a_conversation_is_in_the_package_of_its_dialect() -> None:
    """The tests and `polystow verify` replay only conversations in the packages of dialects."""
    files = {path for part in ("service", "tests") for path in (ROOT / part).rglob("*.http")}
    assert files == set(FILES)


FORMER_PHRASES = {422: "Unprocessable Entity"}  # before Python 3.13


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parts[-3]}/{file.stem}")
def test_each_expected_status_has_its_standard_phrase(file: Path) -> None:
    for exchange in load(file):
        _, status, phrase = exchange.answer.start.split(" ", 2)
        assert phrase in (HTTPStatus(int(status)).phrase, FORMER_PHRASES.get(int(status))), exchange.where
