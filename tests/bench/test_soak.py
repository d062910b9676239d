"""Tests the verdict of the soak."""

from bench.soak import MEBIBYTE, Point, growth, verdict


def points(*resident: float) -> list[Point]:
    return [Point(200_000 * (i + 1), int(each * MEBIBYTE)) for i, each in enumerate(resident)]


def test_constant_memory_is_flat() -> None:
    flat, said = verdict(points(49.9, 50, 50.1, 49.9, 50, 50, 50.1, 49.9, 50, 50))
    assert flat
    assert said.startswith("flat: ")


def test_memory_that_rises_with_every_request_is_not_flat() -> None:
    flat, said = verdict(points(*(50 + 0.5 * i for i in range(10))))
    assert not flat
    assert "bytes per request" in said


def test_growth_is_computed_over_the_whole_run() -> None:
    assert round(growth(points(*range(50, 60))) / MEBIBYTE) == 10
