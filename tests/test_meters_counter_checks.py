"""A counter's update period, and whether it agrees with the power: on made-up boards."""

from __future__ import annotations

import math

import pytest

from sizer.meters.counters import Reading, counter_over_power, disagreement, update_period_s


def board(period_s: float = 0.1, watts: float = 300.0, shown: float = 300.0, seconds: float = 2.0) -> list[Reading]:
    """A board that draws ``watts`` and shows ``shown``, with a counter that moves every period, read every ms."""
    times = [step / 1000 for step in range(int(seconds * 1000))]
    return [Reading(time, watts * math.floor(time / period_s + 1e-9) * period_s, shown) for time in times]


@pytest.mark.parametrize("period_s", [0.02, 0.1])
def test_the_period_is_the_time_between_moves(period_s):
    assert update_period_s(board(period_s)) == pytest.approx(period_s, abs=0.001)


def test_a_counter_that_rests_has_no_period():
    assert update_period_s(board(watts=0.0)) is None
    assert update_period_s([]) is None


@pytest.mark.parametrize(("shown", "ratio"), [(300.0, 1.0), (150.0, 2.0), (450.0, 2 / 3)])
def test_the_counter_over_the_power(shown, ratio):
    found = counter_over_power(board(shown=shown))
    assert found == pytest.approx(ratio, rel=1e-3)
    assert (disagreement(found) is None) == (ratio == 1.0)


def test_standing_still_is_a_disagreement():
    assert counter_over_power(board(watts=0.0)) is None
    assert "stood still" in disagreement(None)
