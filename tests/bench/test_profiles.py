"""Tests the computation of load shapes."""

from collections.abc import Callable

import pytest

from bench.profiles import PROFILES, Ramp


@pytest.mark.parametrize("name", PROFILES)
def test_a_shape_ends_when_its_time_is_over_and_never_has_too_many_users(name: str) -> None:
    profile = PROFILES[name]
    users = [profile(at, 30, 50) for at in range(30)]
    assert all(each is not None and 1 <= each <= 50 for each in users)
    assert profile(30, 30, 50) is None


def test_a_spike_is_all_users_in_the_middle_and_a_fifth_before_and_after() -> None:
    assert [PROFILES["spike"](at, 10, 50) for at in (0, 3.9, 4, 5.9, 6, 9.9)] == [10, 10, 50, 50, 10, 10]


def test_a_soak_rises_slowly_and_then_stays() -> None:
    assert [PROFILES["soak"](at, 100, 50) for at in (0, 5, 10, 50, 99)] == [1, 25, 50, 50, 50]


def climbed(most: int, rate: Callable[[int], float]) -> Ramp:
    """Run a ramp to its end, with a function that returns the requests per second for a number of users."""
    ramp, at, requests = Ramp(most), 0.0, 0.0
    while (users := ramp.users(at, int(requests))) is not None:
        at, requests = at + 1, requests + rate(users)
        assert at < 1000
    return ramp


def test_a_ramp_stops_when_more_users_bring_no_more_throughput() -> None:
    ramp = climbed(500, lambda users: min(users * 100, 2000))
    users, rate = ramp.best
    assert 20 <= users <= 30
    assert rate == pytest.approx(2000)


def test_a_ramp_goes_on_while_throughput_grows() -> None:
    ramp = climbed(500, lambda users: users * 10)
    assert ramp.best == (500, 5000)


def test_a_ramp_continues_after_one_step_without_more_throughput() -> None:
    ramp = climbed(500, lambda users: 700 if users == 7 else min(users * 100, 3000))
    assert ramp.best[1] == pytest.approx(3000)
