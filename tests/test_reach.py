"""Reach and epochs by learning curves: the law's own properties, and that its constants fit the base they are from."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sizer.method import expectation
from sizer.method import reach as law
from sizer.method.epochs_to_loss import DIFFICULTIES, Pilot, difficulty_of
from sizer.method.reach import RATES, Known, Networks

KNOWN = Known(4000, 20, 3, False)
RATIOS = 1 + np.geomspace(0.015, 2.5, 7)
#: The usual pair where hard targets are ruled out.
BRISK = expectation.Usual(2**13, 1.6e-2, True)


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
    whole, weights = expectation.hardness_prior(None)
    assert weights.sum() == pytest.approx(1)
    assert (np.diff(whole) > 0).all()
    parts = {name: expectation.hardness_prior(name)[0] for name in DIFFICULTIES}
    limits = [1.0, *(found.ratio for found in DIFFICULTIES.values())]
    for (low, high), ratios in zip(pairwise(limits), parts.values(), strict=True):
        assert ((ratios > low) & (ratios < high)).all()


def test_pilots_that_end_above_a_target_make_it_hard():
    prior = expectation.hardness_prior(None)
    pilots = (Pilot(1000, 0.4), Pilot(8000, 0.3))
    medians = []
    for target in (0.1, 0.29, 0.35, 0.5):
        ratios, weights = expectation.narrowed(*prior, pilots, target, KNOWN)
        assert weights.sum() == pytest.approx(1)
        medians.append(float(ratios[np.searchsorted(np.cumsum(weights), 0.5)]))
    assert medians[0] < 1.15
    assert medians[1:] == sorted(medians[1:])
    assert medians[1] < 1.1 < 1.5 < medians[-1]
    assert expectation.narrowed(*prior, (), None, KNOWN) == prior


def test_a_pilot_that_was_cut_short_says_less_than_one_that_ended_there():
    prior = expectation.hardness_prior(None)
    means = []
    for epochs in (2, 20, 10**9, None):
        ratios, weights = expectation.narrowed(*prior, (Pilot(1000, 0.4, epochs), Pilot(8000, 0.3, epochs)), 0.2, KNOWN)
        means.append(float(np.log(ratios - 1) @ weights))
    assert means[0] > means[1] > means[2]
    assert means[2] == pytest.approx(means[3])


def test_a_size_alone_costs_its_success_its_failure_and_what_none_reaches(monkeypatch):
    """With one size there is nowhere to go on, so that the whole formula can be written down."""
    size, ratios = networks(64), RATIOS[3:4]
    monkeypatch.setattr(expectation, "_OCTAVES_UP", 1)
    cost = expectation.expected_cost(np.array([2.0]), size, KNOWN, 4e-3, False, ratios, np.ones(1))
    chance = law.chance_to_reach(size, KNOWN, 4e-3, False, ratios)[0, 0]
    median = law.CURVES._replace(scatter=0.0)
    epochs, at_1e_3 = (law.epochs_to_reach(size, KNOWN, rate, False, ratios, median)[0, 0] for rate in (4e-3, 1e-3))
    expected = (2 * epochs) ** chance * (2 * expectation._OUT_OF_REACH * at_1e_3) ** (1 - chance)
    assert cost[0] == pytest.approx(expected * expectation.doubt(size, KNOWN, 4e-3, False, BRISK)[0])


def test_a_failure_is_paid_for_before_the_next_octave(monkeypatch):
    sizes, ratios = networks(64, 91), RATIOS[3:4]
    monkeypatch.setattr(expectation, "_OCTAVES_UP", 2)
    apart = law.CURVES._replace(together=0.0, scatter=0.0)
    cost = expectation.expected_cost(np.array([2.0, 3.0]), sizes, KNOWN, 4e-3, False, ratios, np.ones(1), apart)
    chances = law.chance_to_reach(sizes, KNOWN, 4e-3, False, ratios)[:, 0]
    first, second = law.epochs_to_reach(sizes, KNOWN, 4e-3, False, ratios, apart)[:, 0] * (2.0, 3.0)
    failed = 2 * law.epochs_until_given_up(sizes, KNOWN, 4e-3, False)[0]
    at_most = 100 * (law.epochs_to_reach(sizes, KNOWN, 1e-3, False, ratios, apart)[:, 0] * (2.0, 3.0)).min()
    fails, fails_too = 1 - chances
    logs = (
        chances[0] * np.log(first) + fails * chances[1] * np.log(failed + second) + fails * fails_too * np.log(at_most)
    )
    assert cost[0] == pytest.approx(np.exp(logs) * expectation.doubt(sizes, KNOWN, 4e-3, False, BRISK)[0])


@pytest.mark.parametrize("regression", [True, False, None])
def test_the_usual_pair_is_left_for_what_saves_more_than_the_doubt(regression, monkeypatch):
    known, prior = KNOWN._replace(regression=regression), expectation.hardness_prior(None)
    usual = expectation.usual_pair(known, *prior)
    assert usual == (2**14, 1.6e-2 if regression else 8e-3, True)
    setting = known, usual.learning_rate, usual.averaged
    sizes = Networks(usual.size * np.array([2.0**-9, 0.5, 1.0, 1.9, 2.0**9]), *(np.full(5, v) for v in (64, 4, 256)))
    factors = expectation.doubt(sizes, *setting, usual)
    assert factors[2] == 1.0
    assert factors.argsort().tolist()[:3] == [2, 3, 1]
    assert factors.max() <= 1 + expectation.DOUBT
    assert factors[[0, 4]] == pytest.approx(1 + expectation.DOUBT)
    assert (expectation.doubt(sizes, known, 1e-3, usual.averaged, usual)[1:4] > factors[1:4]).all()
    assert (expectation.doubt(sizes, known, usual.learning_rate, not usual.averaged, usual) >= factors).all()
    other_batches = expectation.doubt(sizes._replace(batch_size=np.full(5, 64.0)), *setting, usual)
    assert other_batches == pytest.approx(factors * other_batches[2])
    assert 1.2 < other_batches[2] < 1 + expectation.DOUBT
    with_doubt = expectation.expected_cost(np.ones(5), sizes, *setting, *prior)
    monkeypatch.setattr(expectation, "DOUBT", 0.0)
    assert with_doubt == pytest.approx(factors * expectation.expected_cost(np.ones(5), sizes, *setting, *prior))


def test_where_hard_targets_are_ruled_out_the_usual_pair_is_the_smaller_and_faster():
    usual = {
        difficulty: expectation.usual_pair(KNOWN, *expectation.hardness_prior(difficulty))
        for difficulty in DIFFICULTIES
    }
    assert usual == {"hard": (2**14, 8e-3, True), "medium": BRISK, "easy": BRISK}
    ratios = np.array([1.05, 2.0])
    assert expectation.usual_pair(KNOWN, ratios, np.array([0.01, 0.99])) == BRISK
    assert expectation.usual_pair(KNOWN, ratios, np.array([0.2, 0.8])) == usual["hard"]


def test_a_failure_costs_more_where_sizes_share_their_luck():
    sizes, prior = networks(16, 24, 36, 54, 80), expectation.hardness_prior("hard")
    costs = [
        expectation.expected_cost(np.ones(5), sizes, KNOWN, 1e-3, False, *prior, law.CURVES._replace(together=together))
        for together in (0.0, 0.5, 1.0)
    ]
    assert (costs[0] < costs[1]).all()
    assert (costs[1] < costs[2]).all()


def test_the_next_octave_is_the_size_nearest_to_twice():
    assert expectation._an_octave_up(np.array([100.0, 150.0, 210.0, 390.0])).tolist() == [2, 3, 3, 3]


def test_a_target_on_the_edge_of_a_difficulty_is_of_the_harder_one():
    assert [difficulty_of(ratio, 1.0) for ratio in (1.1, 1.1001, 1.5, 1.5001)] == ["hard", "medium", "medium", "easy"]


def test_a_pilots_chance_by_then_is_lognormal_about_the_law_at_1e_3_and_raw():
    """Half of the chance at the law's median of epochs, 84 % and 16 % a scatter later and earlier."""
    ratios, pilot = np.array([1.2, 2.0]), Pilot(2000, 0.4)
    setting = (expectation._pilots_network(pilot, KNOWN), KNOWN, 1e-3, False, ratios, law.CURVES)
    chance, median = law.chance_to_reach(*setting)[0], law.median_epochs(*setting)[0]
    assert expectation._chance_by_then(pilot, KNOWN, ratios, None) == pytest.approx(chance)
    for scatters, share in ((0, 0.5), (1, 0.8413447), (-1, 0.1586553)):
        for each in (0, 1):
            by_then = pilot._replace(epochs=median[each] * 2 ** (scatters * law.CURVES.scatter))
            found = expectation._chance_by_then(by_then, KNOWN, ratios, None)
            assert found[each] == pytest.approx(share * chance[each], rel=1e-6)


def test_a_network_is_the_rectangle_of_depth_4_with_as_many_parameters():
    """7-5-5-5-3 has 8 x 5 + 2 x 6 x 5 + 6 x 3 = 118; the narrowest has width 1."""
    parameters, same = np.array([118.0, 2.0]), np.ones(2)
    found = law.as_rectangles(parameters, 7, 3, 4 * same, 256 * same)
    assert found.hidden_width.tolist() == pytest.approx([5.0, 1.0])
    assert found.num_free_parameters.tolist() == parameters.tolist()


def test_pilots_of_one_task_count_as_one_together():
    prior, pilot, other = expectation.hardness_prior(None), Pilot(1000, 0.4), Pilot(8000, 0.3)
    one, twice = (expectation.narrowed(*prior, pilots, 0.29, KNOWN)[1] for pilots in ((pilot,), (pilot, pilot)))
    assert twice == pytest.approx(one)
    first, second, both = (
        np.log(expectation.narrowed(*prior, pilots, 0.29, KNOWN)[1]) for pilots in ((pilot,), (other,), (pilot, other))
    )
    assert np.diff(both) == pytest.approx(np.diff(first + second) / 2)


def test_pilots_or_a_target_alone_narrow_nothing():
    prior = expectation.hardness_prior(None)
    assert expectation.narrowed(*prior, (), 0.3, KNOWN) == prior
    assert expectation.narrowed(*prior, (Pilot(1000, 0.4),), None, KNOWN) == prior
