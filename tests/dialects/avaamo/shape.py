"""Checks the vendor's format of errors; tests/test_dialects.py applies it to every refusal."""

import json

from service.api.dialect import Answer


def check(answer: Answer) -> None:
    """Fail if an answer is not a refusal in the vendor's format."""
    assert 400 <= answer.status <= 599
    assert answer.content_type == "application/json"
    body = json.loads(answer.body)
    assert list(body) == ["error"]
    assert isinstance(body["error"], str)
    assert body["error"]
