"""Tests that the first word of an error reply is its kind."""

import pytest

from service.redis.errors import rejected


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("DENIED you may not", "DENIED"),
        ("NOAUTH", "NOAUTH"),
        ("WRONGTYPE Operation against a key script: put_12, on @user_function:7.", "WRONGTYPE"),
        ("ERR Function not found", "ERR"),
    ],
)
def test_the_first_word_of_an_error_is_its_code(text: str, word: str) -> None:
    error = rejected(text)
    assert (error.word, error.message) == (word, text)
