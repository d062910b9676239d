"""Error replies become words."""

import pytest

from service.redis.errors import rejected

RUNNING = "ERR Error running script (call to f_ab): @user_script:1: "


@pytest.mark.parametrize(
    ("text", "word", "message"),
    [
        ("DENIED you may not", "DENIED", "DENIED you may not"),
        ("NOSCRIPT", "NOSCRIPT", "NOSCRIPT"),
        (RUNNING + "@user_script: 1: -READONLY You can't write", "READONLY", "READONLY You can't write"),
        (RUNNING + "WRONGTYPE Operation against", "WRONGTYPE", "WRONGTYPE Operation against"),
        (RUNNING + "user_script:1: my own words", "ERR", None),
        ("ERR unknown command", "ERR", "ERR unknown command"),
    ],
)
def test_the_word_is_what_refused_also_inside_a_script_of_an_older_redis(
    text: str, word: str, message: str | None
) -> None:
    error = rejected(text)
    assert error.word == word
    assert error.message == (message or text)
