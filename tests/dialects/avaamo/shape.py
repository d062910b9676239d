"""The vendor's error shape, which tests/test_dialects.py holds every refusal to."""

import json

from service.api.dialect import Answer


def check(answer: Answer) -> None:
    """Fails where an answer is no refusal as the vendor tells one."""
    assert 400 <= answer.status <= 599
    assert answer.content_type == "application/json"
    body = json.loads(answer.body)
    assert list(body) == ["error"]
    assert isinstance(body["error"], str)
    assert body["error"]
