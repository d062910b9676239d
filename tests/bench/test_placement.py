"""Tests the placement of measured processes on cores."""

import pytest

from bench.placement import placement


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_the_server_has_a_core_of_its_own(count: int) -> None:
    where = placement(list(range(count)))
    assert where.server not in (where.redis, where.client)


def test_a_single_core_is_shared_and_the_result_says_so() -> None:
    where = placement([3])
    assert where.server == where.redis == where.client == "3"
    assert "one core only" in where.note


def test_two_workers_have_two_cores() -> None:
    assert [placement(list(range(count))).workers for count in (2, 3, 4)] == ["0,1", "0,1", "0,3"]
