"""The vendor's error shape, which tests/test_dialects.py holds every refusal to."""

import json

from service.api.dialect import Answer


def check(answer: Answer) -> None:
    """Fails where an answer is no refusal as the vendor's page prints it."""
    assert 400 <= answer.status <= 599
    assert answer.content_type == "application/json"
    body = json.loads(answer.body)
    assert list(body) == ["error"]
    assert set(body["error"]) - {"operation"} == {"message", "oldest"} - (set() if answer.status == 410 else {"oldest"})
    assert isinstance(body["error"]["message"], str)
    assert body["error"]["message"]
