"""Learning-curve forecasts: closed forms, and what must hold of any curve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizer.size_search.learning_curves import AHEAD, LearningCurve, hitting

LOSSES = st.lists(st.floats(1e-3, 10.0), min_size=1, max_size=60).map(tuple)


def power_law(epochs: int, exponent: float = 0.5) -> tuple[float, ...]:
    return tuple(float(epoch**-exponent) for epoch in range(1, epochs + 1))


def overfitting(epochs: int, turn: int) -> tuple[float, ...]:
    """A loss that falls up to an epoch and rises from there."""
    return tuple(0.2 + 0.1 * abs(np.log2(epoch / turn)) for epoch in range(1, epochs + 1))


def chance(values: tuple[float, ...], target: float, within: float = np.inf) -> float:
    chances = hitting(LearningCurve(values), np.log(target)).chances[0]
    return float(chances[within >= AHEAD].sum())


def test_the_trend_of_a_power_law_is_its_exponent():
    trend = LearningCurve(power_law(64)).trend
    assert trend.fall == pytest.approx(0.5 * np.log(2), rel=0.15)  # a doubling lowers the log by exponent x ln 2
    assert trend.level == pytest.approx(np.log(64**-0.5), abs=0.02)


def test_a_falling_curve_meets_a_near_target_soon_and_a_far_one_hardly():
    falling = power_law(20)
    assert chance(falling, 0.95 * falling[-1], within=20) > 0.8
    assert chance(falling, 0.1 * falling[-1]) < 0.2


def test_a_curve_that_rises_again_has_no_chance_but_one_that_still_falls_has():
    assert chance(overfitting(40, turn=10), 0.19) < 0.02
    assert chance(overfitting(40, turn=80), 0.25) > 0.5


def test_flat_and_noisy_curves_dip_only_as_deep_as_their_noise():
    noisy = tuple(0.3 * np.exp(0.03 * np.random.default_rng(0).standard_normal(60)))
    assert chance(noisy, 0.999 * min(noisy)) > 0.5
    assert chance(noisy, 0.7 * min(noisy)) < 0.25
    assert LearningCurve(noisy).noise == pytest.approx(0.03, rel=0.4)


def test_targets_that_were_met_take_the_epochs_that_they_took():
    found = hitting(LearningCurve((1.0, 0.5, 0.7, 0.4)), np.log([0.9, 0.5, 0.45, 0.3]))
    assert found.first.tolist() == [2.0, 2.0, 4.0, np.inf]
    assert (found.chances[:3] == 0).all()
    assert found.chances[3].sum() > 0


@given(LOSSES)
def test_chances_are_chances_and_a_looser_target_is_met_no_less_likely(values):
    targets = np.log(min(values) * np.array([0.99, 0.9, 0.7, 0.3]))
    chances = hitting(LearningCurve(values), targets).chances
    assert (chances >= -1e-12).all()
    within = np.cumsum(chances, axis=1)
    assert (within <= 1 + 1e-9).all()
    assert (np.diff(within, axis=0) <= 1e-9).all()


@given(LOSSES, st.floats(0.1, 10.0))
def test_the_unit_of_the_loss_does_not_matter(values, unit):
    scaled = tuple(value * unit for value in values)
    target = 0.8 * min(values)
    assert chance(scaled, target * unit) == pytest.approx(chance(values, target), abs=1e-6)
