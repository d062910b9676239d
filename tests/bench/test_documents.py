"""Tests the documents that measurements store."""

import orjson
import pytest

from bench.documents import document


@pytest.mark.parametrize("size", [125, 288, 1024, 10 * 1024, 100 * 1024])
def test_a_document_has_exactly_its_size_and_is_json(size: int) -> None:
    body = document(size, "document-0000001")
    assert len(body) == size
    assert orjson.loads(body)["name"] == "document-0000001"


def test_a_document_that_cannot_be_so_small_is_refused() -> None:
    with pytest.raises(ValueError, match="at least"):
        document(50)
