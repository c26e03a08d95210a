"""Reach and epochs by learning curves: the law's own properties, and that its constants fit the base they are from."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sizer.method import epochs_to_loss as law
from sizer.method.epochs_to_loss import DIFFICULTIES, RATES, Known, Networks, Pilot

KNOWN = Known(4000, 20, 3, False)
RATIOS = 1 + np.geomspace(0.015, 2.5, 7)


def networks(*widths: float, inputs: int = 20, outputs: int = 3) -> Networks:
    width = np.array(widths)
    parameters = 2 * width**2 + (inputs + outputs + 3) * width + outputs
    return Networks(parameters, width, np.full(len(width), 4.0), np.full(len(width), 256.0))


settings_of_training = st.tuples(
    st.builds(Known, st.sampled_from([None, 300, 60_000]), st.integers(1, 3000), st.integers(1, 100)),
    st.sampled_from(RATES),
    st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(settings_of_training)
def test_chances_rise_with_width_and_ratio_and_epochs_fall(setting):
    sizes = networks(2, 8, 32, 64, 128, 512, 4000)
    chance, epochs = law.chance_to_reach(sizes, *setting, RATIOS), law.epochs_to_reach(sizes, *setting, RATIOS)
    assert ((chance > 0) & (chance < 1)).all()
    assert (np.diff(chance, axis=0) >= 0).all()
    assert (np.diff(chance, axis=1) > 0).all()
    assert (np.diff(epochs, axis=0) <= 0).all()
    assert (np.diff(epochs, axis=1) <= 0).all()
    assert (epochs >= 1).all()
    assert (law.epochs_until_given_up(sizes, *setting) > law.PATIENCE).all()


def test_higher_rates_save_epochs_and_averages_bring_reach():
    sizes = networks(64)
    epochs = [float(law.epochs_to_reach(sizes, KNOWN, rate, False, RATIOS)[0, 3]) for rate in RATES]
    assert epochs == sorted(epochs, reverse=True)
    raw, averaged = (law.chance_to_reach(sizes, KNOWN, 8e-3, kind, RATIOS) for kind in (False, True))
    assert (averaged > raw).all()
    assert (law.chance_to_reach(sizes, KNOWN._replace(input_dim=800), 8e-3, True, RATIOS) < averaged).all()


def test_difficulties_share_the_prior_out():
    whole, weights = law.hardness_prior(None)
    assert weights.sum() == pytest.approx(1)
    assert (np.diff(whole) > 0).all()
    parts = {name: law.hardness_prior(name)[0] for name in DIFFICULTIES}
    limits = [1.0, *(found.ratio for found in DIFFICULTIES.values())]
    for (low, high), ratios in zip(pairwise(limits), parts.values(), strict=True):
        assert ((ratios > low) & (ratios < high)).all()


def test_pilots_that_end_above_a_target_make_it_hard():
    prior = law.hardness_prior(None)
    pilots = (Pilot(1000, 0.4), Pilot(8000, 0.3))
    medians = []
    for target in (0.1, 0.29, 0.35, 0.5):
        ratios, weights = law.narrowed(*prior, pilots, target, KNOWN)
        assert weights.sum() == pytest.approx(1)
        medians.append(float(ratios[np.searchsorted(np.cumsum(weights), 0.5)]))
    assert medians[0] < 1.15
    assert medians[1:] == sorted(medians[1:])
    assert medians[1] < 1.1 < 1.5 < medians[-1]
    assert law.narrowed(*prior, (), None, KNOWN) == prior


def test_a_size_alone_costs_its_success_its_failure_and_what_none_reaches(monkeypatch):
    """With one size there is nowhere to go on, so that the whole formula can be written down."""
    size, ratios = networks(64), RATIOS[3:4]
    monkeypatch.setattr(law, "_OCTAVES_UP", 1)
    cost = law.expected_cost(np.array([2.0]), size, KNOWN, 4e-3, False, ratios, np.ones(1))
    chance, epochs = (of(size, KNOWN, 4e-3, False, ratios)[0, 0] for of in (law.chance_to_reach, law.epochs_to_reach))
    failure = law.epochs_until_given_up(size, KNOWN, 4e-3, False)[0]
    at_1e_3 = law.epochs_to_reach(size, KNOWN, 1e-3, False, ratios)[0, 0]
    expected = 2 * (chance * epochs + (1 - chance) * (failure + law._OUT_OF_REACH * at_1e_3))
    assert cost[0] == pytest.approx(expected)


def test_a_failure_costs_more_where_sizes_share_their_luck():
    sizes, prior = networks(16, 24, 36, 54, 80), law.hardness_prior("hard")
    costs = [
        law.expected_cost(np.ones(5), sizes, KNOWN, 1e-3, False, *prior, law.CURVES._replace(together=together))
        for together in (0.0, 0.5, 1.0)
    ]
    assert (costs[0] < costs[1]).all()
    assert (costs[1] < costs[2]).all()


def test_the_next_octave_is_the_size_nearest_to_twice():
    assert law._an_octave_up(np.array([100.0, 150.0, 210.0, 390.0])).tolist() == [2, 3, 3, 3]
