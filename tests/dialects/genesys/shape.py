"""The vendor's error shape, which tests/test_dialects.py holds every refusal to."""

import json

from service.api.dialect import Answer


def check(answer: Answer) -> None:
    """Fails where an answer is no refusal as the vendor gives it."""
    assert 400 <= answer.status <= 599
    assert answer.content_type == "application/json"
    body = json.loads(answer.body)
    assert list(body) == ["exception", "message"]
    assert all(isinstance(text, str) and text for text in body.values())
