"""Checks the vendor's format of errors; tests/test_dialects.py applies it to every refusal."""

import json

from service.api.dialect import Answer


def check(answer: Answer) -> None:
    """Fail if an answer is not a refusal in the vendor's envelope."""
    assert answer.status in (200, 400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429, 500, 503)
    assert answer.content_type == "application/json"
    body = json.loads(answer.body)
    assert list(body) == ["code", "res", "msg", "info"]
    assert body["code"] in (-4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7)
    assert body["res"] == "err"
    assert isinstance(body["msg"], str)
    assert body["msg"]
    assert body["info"] == {name: body[name] for name in ("code", "res", "msg")}
