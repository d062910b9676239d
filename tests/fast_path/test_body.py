"""Tests bodies that have arrived together with their request."""

import pytest

from service.http.driver import CompleteBody
from service.storage.errors import TooLarge


async def test_a_complete_body_has_the_same_limit_whether_read_at_once_or_in_pieces() -> None:
    body = CompleteBody(b"12345")
    assert await body.read(5) == b"12345"
    assert [piece async for piece in body.pieces(5)] == [b"12345"]
    with pytest.raises(TooLarge, match="at most 4 bytes"):
        await body.read(4)
    with pytest.raises(TooLarge):
        await anext(body.pieces(4))
