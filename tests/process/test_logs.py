"""Tests logs: each line is one JSON object, and none has a credential."""

import json
import logging
import re

import pytest

from service.logs import JsonLines, redacted


def line(message: str, *arguments: object, **extra: object) -> dict[str, object]:
    record = logging.LogRecord("service.x", logging.WARNING, __file__, 1, message, arguments, None)
    vars(record).update(extra)
    shown: dict[str, object] = json.loads(JsonLines("worker 3").format(record))
    return shown


def test_a_line_has_time_level_logger_process_and_message() -> None:
    shown = line("took %d ms", 7)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(shown.pop("time")))
    assert shown == {"level": "warning", "logger": "service.x", "process": "worker 3", "message": "took 7 ms"}


def test_a_line_names_the_request_and_carries_fields() -> None:
    shown = line("answered", request_id="r-1", fields={"status": 200, "path": "/x"})
    assert (shown["request_id"], shown["status"], shown["path"]) == ("r-1", 200, "/x")


def test_an_exception_stays_on_its_line() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", (), (ValueError, error, None))
    text = JsonLines("parent").format(record)
    assert "\n" not in text
    assert "first\nsecond" in json.loads(text)["exception"]


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer s3cret",
        "authorization: bearer s3cret, next",
        "{'Authorization': 'Basic s3cret'}",
        '"access-token": "s3cret"',
        "access_token=s3cret&x=1",
        "redis://user:s3cret@host:6379/0",
        "redis://:s3cret@host",
        "password=s3cret",
        "sent Bearer s3cret and Bearer s3cret",
    ],
)
def test_text_that_looks_like_a_credential_is_redacted(text: str) -> None:
    assert "s3cret" not in redacted(text)
    assert "[redacted]" in redacted(text)
    assert "s3cret" not in json.dumps(line(text))
    assert "s3cret" not in json.dumps(line("x", fields={"header": text}))


@pytest.mark.parametrize("text", ["connected to unix:///d/redis.sock?db=0", "http://127.0.0.1:8080/x", "a token"])
def test_other_text_is_unchanged(text: str) -> None:
    assert redacted(text) == text
