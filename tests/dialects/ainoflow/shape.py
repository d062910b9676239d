"""Checks the vendor's format of errors; tests/test_dialects.py applies it to every refusal."""

import json

from service.api.dialect import Answer


def check(answer: Answer) -> None:
    """Fail if an answer is not a refusal in the format of the vendor's page."""
    assert 400 <= answer.status <= 599
    assert answer.content_type == "application/json"
    body = json.loads(answer.body)
    assert list(body) == ["error"]
    assert set(body["error"]) - {"operation"} == {"message", "oldest"} - (set() if answer.status == 410 else {"oldest"})
    assert isinstance(body["error"]["message"], str)
    assert body["error"]["message"]
