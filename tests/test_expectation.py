"""What is expected of sizes when little is known: the prior of hardness, pilots and failures, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sizer.method import expectation, reach
from sizer.method.epochs_to_loss import Pilot
from sizer.method.expectation import expected_cost, hardness_prior, narrowed
from sizer.method.reach import Constants, Known, Networks

KNOWN = Known(4000, 20, 3)
#: Laws of a few terms: chances and epochs that differ from size to size, and nothing of the recorded curves' constants.
LAWS = Constants(
    reach=(("one", -3.0), ("width", 0.7), ("hardness", 0.3)),
    epochs=(("one", 6.0), ("width", -0.5), ("rate", -0.6), ("hardness", -0.2)),
    left=(("one", 4.0), ("width", -0.2), ("rate", -0.3)),
    scatter=1.0,
    together=0.5,
)


@pytest.mark.parametrize(
    ("difficulty", "low", "high"), [(None, 0.015, 2.5), ("hard", 0.015, 0.1), ("medium", 0.1, 0.5), ("easy", 0.5, 2.5)]
)
def test_the_prior_of_hardness_is_uniform_in_its_logarithm(difficulty, low, high):
    """A uniform distribution has its mean in the middle, and a variance of a twelfth of its width squared."""
    ratios, weights = hardness_prior(difficulty)
    logs = np.log(ratios - 1)
    middle, width = (np.log(low) + np.log(high)) / 2, np.log(high) - np.log(low)
    assert weights.sum() == pytest.approx(1)
    assert weights @ logs == pytest.approx(middle)
    assert weights @ (logs - middle) ** 2 == pytest.approx(width**2 / 12)
    assert weights @ (logs - middle) ** 4 == pytest.approx(width**4 / 80)


def test_a_pilot_weighs_each_ratio_by_how_likely_its_own_is():
    """That of ending 3 % above or below: the chance of reaching the upper less that of reaching the lower."""
    target, pilot = 0.2, Pilot(2000, 0.25)
    ratios, weights = narrowed(*hardness_prior(None), (pilot,), target, KNOWN, LAWS)
    assert ratios == pytest.approx(1 + np.geomspace(0.015, 2.5, 40))
    network = reach.as_rectangles(np.array([2000.0]), 20, 3, np.array([4.0]), np.array([256.0]))
    above, below = (
        reach.chance_to_reach(network, KNOWN, 1e-3, False, factor * 1.25 * ratios, LAWS)[0] for factor in (1.03, 0.97)
    )
    likely = above - below + 1e-6
    assert weights == pytest.approx(likely / likely.sum())


@pytest.mark.parametrize("together", [0.0, 0.5, 1.0])
def test_what_a_size_adds_to_those_that_failed_before_it_by_hand(together, monkeypatch):
    """Two sizes an octave apart: the first fails, the second is trained, and once more; then none reaches."""
    monkeypatch.setattr(expectation, "_OCTAVES_UP", 3)
    laws, width = LAWS._replace(together=together), np.array([32.0, 46.0])
    sizes = Networks(2 * width**2 + 26 * width + 3, width, np.full(2, 4.0), np.full(2, 256.0))
    cost, ratios, setting = np.array([2.0, 3.0]), np.array([1.4]), (sizes, KNOWN, 4e-3, True)
    low, high = reach.chance_to_reach(*setting, ratios, laws)[:, 0]
    trained = cost * reach.median_epochs(*setting, ratios, laws)[:, 0]
    failed = cost * reach.epochs_until_given_up(*setting, laws)
    out_of_reach = 100 * (cost * reach.median_epochs(sizes, KNOWN, 1e-3, False, ratios, laws)[:, 0]).min()
    then = together * (high - low) / (1 - low) + (1 - together) * high
    again = (1 - together) * high  # (what it fails at together with itself it fails at again)
    logs = (
        low * np.log(trained[0])
        + (1 - low) * then * np.log(failed[0] + trained[1])
        + (1 - low) * (1 - then) * again * np.log(failed[0] + failed[1] + trained[1])
        + (1 - low) * (1 - then) * (1 - again) * np.log(out_of_reach)
    )
    usual = expectation.usual_pair(KNOWN, ratios, np.ones(1))
    found = expected_cost(cost, *setting, ratios, np.ones(1), laws)
    assert found[0] == pytest.approx(np.exp(logs) * expectation.doubt(*setting, usual)[0])


def test_the_mean_over_hardness_is_that_of_logarithms():
    sizes = Networks(np.array([4000.0]), np.array([38.0]), np.array([4.0]), np.array([256.0]))
    setting, cost = (sizes, KNOWN, 8e-3, True), np.array([2.0])
    ratios = np.array([1.05, 1.08])
    each = [expected_cost(cost, *setting, ratio[None], np.ones(1), LAWS)[0] for ratio in ratios]
    both = expected_cost(cost, *setting, ratios, np.array([0.25, 0.75]), LAWS)
    assert both == pytest.approx([each[0] ** 0.25 * each[1] ** 0.75])


def test_a_target_of_the_edge_ratio_is_hard_and_a_chance_of_one_in_twenty_not_ruled_out():
    for ratio, chance, size in ((1.1, 0.05, 2**14), (1.1, 0.049, 2**13), (1.101, 0.5, 2**13)):
        usual = expectation.usual_pair(KNOWN, np.array([ratio, 2.0]), np.array([chance, 1 - chance]))
        assert usual.size == size


def test_doubt_grows_with_the_distance_from_the_usual_pair_in_octaves():
    """1 + 0.4 (1 - exp(-d^2 / 2)), of d^2 in size, rate and weights together, and of batches apart."""
    usual = expectation.Usual(2.0**14, 8e-3, True)
    sizes = Networks(2.0 ** np.array([14, 15, 12]), *np.full((2, 3), 4.0), np.full(3, 512.0))

    def doubted(*squares: float) -> list[float]:
        return [1 + 0.4 * (1 - np.exp(-square / 2)) for square in squares]

    found = expectation.doubt(sizes, KNOWN, 4e-3, False, usual)
    by_hand = np.array(doubted(0 + 1 + 1, 1 + 1 + 1, 4 + 1 + 1)) * doubted(1)[0]
    assert found == pytest.approx(by_hand)
