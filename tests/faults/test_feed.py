"""Tests that followers of a feed get each change once while faults are injected."""

import pytest

from tests.faults.following import Ledger, Wrong, follow
from tests.faults.stand import standing
from tests.lengths import either


@pytest.mark.long
async def test_no_fault_hides_repeats_or_reorders_a_change_for_a_follower() -> None:
    async with standing() as stand:
        print(
            await follow(stand, either(2_000, 20_000), seed=21, between=1.0, behind=1_000, least_faults=either(6, 30))
        )


@pytest.mark.parametrize("versions", [(1, 3), (1, 1), (1, 3, 2)], ids=["missed", "doubled", "out of order"])
def test_the_checker_notices_a_change_that_is(versions: tuple[int, ...]) -> None:
    with pytest.raises(Wrong):
        Ledger().take((b"%d-0" % place, b"k", b"%d" % version) for place, version in enumerate(versions))


def test_the_checker_notices_another_order_of_two_documents() -> None:
    one, other = Ledger(), Ledger()
    one.take([(b"1-0", b"a", b"1"), (b"2-0", b"b", b"1")])
    other.take([(b"2-0", b"b", b"1"), (b"1-0", b"a", b"1")])
    assert one.versions == other.versions
    assert one.order != other.order
