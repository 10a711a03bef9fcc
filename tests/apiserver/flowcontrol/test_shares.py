"""The division of seats among priority levels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.flowcontrol.retry import RetryAfter
from apiserver.flowcontrol.shares import Claim, allocate


def test_without_bounds_everybody_gets_the_same_multiple() -> None:
    seats, multiple = allocate(30, [Claim(1, 0, 100), Claim(2, 0, 100)])
    assert seats == pytest.approx([10, 20])
    assert multiple == pytest.approx(10)


def test_what_is_owed_is_given_first() -> None:
    seats, _ = allocate(30, [Claim(20, 20, 100), Claim(20, 0, 100), Claim(20, 0, 100)])
    assert seats == pytest.approx([20, 5, 5])


def test_nobody_gets_more_than_allowed() -> None:
    seats, _ = allocate(30, [Claim(1, 0, 4), Claim(1, 0, 100), Claim(2, 0, 7)])
    assert seats == pytest.approx([4, 19, 7])


def test_bounds_that_cannot_hold() -> None:
    with pytest.raises(ValueError, match="higher than the required sum"):
        allocate(5, [Claim(10, 10, 20)])
    with pytest.raises(ValueError, match="lower than the required sum"):
        allocate(50, [Claim(10, 10, 20)])


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=8),
    st.floats(0, 1),
)
def test_all_seats_are_given_and_bounds_hold(parts: list[tuple[int, int, int]], place: float) -> None:
    claims = [Claim(low + more, low, low + room) for low, more, room in parts]
    low, high = sum(claim.lower for claim in claims), sum(claim.upper for claim in claims)
    total = low + (high - low) * place
    seats, multiple = allocate(total, claims)
    assert sum(seats) == pytest.approx(total, abs=1e-5)
    for claim, given_ in zip(claims, seats, strict=True):
        assert claim.lower - 1e-9 <= given_ <= claim.upper + 1e-9
        inside = claim.lower + 1e-6 < given_ < claim.upper - 1e-6
        if inside:
            assert given_ == pytest.approx(multiple * max(claim.target, 0.001), rel=1e-6)


def test_refusals_make_clients_wait_longer_and_less_again() -> None:
    retry = RetryAfter()
    told = [retry.refused(1000 + at / 10) for at in range(300)]  # ten a second for half a minute
    assert told[0] == 1
    assert sorted(told) == told
    assert told[-1] >= 8
    later = [retry.refused(2000 + 60 * at) for at in range(40)]
    assert later[-1] == 1
