"""The three laws of learning curves, term by term: values by hand from the formulas of `docs/method.md`."""

from __future__ import annotations

import numpy as np
import pytest

from sizer.method import reach as law
from sizer.method.reach import Known, Networks

#: 4,096 rows are 16 steps of 256; 128 inputs are two doublings beyond 32.
TABLE = Known(4096, 128, 3)
#: One network of width 192, an octave deeper and of batches two octaves larger than most.
DEEP = Networks(np.array([1e5]), np.array([192.0]), np.array([8.0]), np.array([1024.0]))
SHALLOW = Networks(np.array([1e5]), np.array([192.0]), np.array([1.0]), np.array([64.0]))


#: Laws without a term and without scatter.
EMPTY = law.Constants((), (), (), 0.0, 0.0)


def log_odds(chance: np.ndarray) -> np.ndarray:
    return np.log(chance / (1 - chance))


@pytest.mark.parametrize(
    ("term", "deep", "shallow"),
    [
        ("one", 1.0, 1.0),
        ("hardness", -1.0, -1.0),  # a ratio of 1.5: log2(0.5)
        ("width", np.log2(48.0), np.log2(48.0)),  # 192 / (1 + 192 / 64)
        ("rate", 3.0, 3.0),  # 8e-3: three doublings of 1e-3
        ("rate, rate", 9.0, 9.0),
        ("rate, averaged", 3.0, 3.0),
        ("rate, inputs", 6.0, 6.0),
        ("large batch", 2.0, 0.0),
        ("deep", 1.0, 0.0),
    ],
)
def test_each_term_of_the_log_odds_by_hand(term, deep, shallow):
    constants = EMPTY._replace(reach=((term, 1.0),))
    for network, expected in ((DEEP, deep), (SHALLOW, shallow)):
        found = law.chance_to_reach(network, TABLE, 8e-3, True, np.array([1.5]), constants)
        assert log_odds(found) == pytest.approx(np.array([[expected]]))


@pytest.mark.parametrize(
    ("term", "deep", "shallow"),
    [
        ("one", 1.0, 1.0),
        ("steps", 4.0, 4.0),
        ("hardness", 1.0, 1.0),  # a ratio of 3: log2(2)
        ("width", np.log2(3.0), np.log2(3.0)),
        ("rate", 3.0, 3.0),
        ("rate, rate", 9.0, 9.0),
        ("rate, width", 3 * np.log2(3.0), 3 * np.log2(3.0)),
        ("batch", 2.0, -2.0),
        ("batch, rate", 6.0, -6.0),
        ("shallow", 0.0, 2.0),
        ("deep", 1.0, 0.0),
    ],
)
def test_each_term_of_the_epochs_by_hand(term, deep, shallow):
    """Ten octaves are added, so that no number of epochs is below the least, 1."""
    constants = EMPTY._replace(epochs=(("one", 10.0), (term, 1.0)))
    for network, expected in ((DEEP, deep), (SHALLOW, shallow)):
        found = law.median_epochs(network, TABLE, 8e-3, False, np.array([3.0]), constants)
        assert np.log2(found) == pytest.approx(np.array([[10 + expected]]))
    below = EMPTY._replace(epochs=(("one", -3.0),))
    assert law.median_epochs(DEEP, TABLE, 8e-3, False, np.array([3.0]), below) == 1.0


@pytest.mark.parametrize(
    ("term", "expected"),
    [("one", 1), ("steps", 4), ("width", np.log2(3)), ("rate", 3), ("rate, averaged", 3), ("batch", 2)],
)
def test_each_term_of_giving_up_by_hand_and_twelve_epochs_of_patience(term, expected):
    constants = EMPTY._replace(left=((term, 1.0),))
    found = law.epochs_until_given_up(DEEP, TABLE, 8e-3, True, constants)
    assert found == pytest.approx(np.array([2**expected + 12]))


def test_expected_epochs_are_the_mean_of_a_lognormal_about_the_median():
    """Whose natural logarithm has the scatter s ln 2: the mean is exp((s ln 2)^2 / 2) medians."""
    constants = law.CURVES._replace(epochs=(("one", 5.0),), scatter=1.5)
    setting = DEEP, TABLE, 8e-3, False, np.array([3.0])
    assert law.median_epochs(*setting, constants) == pytest.approx(32)
    by_hand = 32 * np.exp((1.5 * np.log(2)) ** 2 / 2)
    assert law.epochs_to_reach(*setting, constants) == pytest.approx(by_hand)
    drawn = 2 ** np.random.default_rng(0).normal(5.0, 1.5, 200_000)
    assert drawn.mean() == pytest.approx(by_hand, rel=0.02)


@pytest.mark.parametrize(
    ("rows", "batch_size", "octaves"),
    [(4096, 1024, 2), (512, 1024, 1), (512, 64, -2), (100, 1024, 0), (100, 64, -2), (None, 1000, np.log2(1000 / 256))],
)
def test_a_batch_is_at_most_the_whole_data_set(rows, batch_size, octaves):
    network = DEEP._replace(batch_size=np.array([float(batch_size)]))
    assert law.batch_octaves(network, TABLE._replace(n_observations=rows)) == pytest.approx([octaves])


def test_rows_that_are_not_known_are_taken_as_4000_and_a_last_batch_counts_whole():
    constants = EMPTY._replace(left=(("steps", 1.0),))
    for rows, steps in ((None, 16), (4000, 16), (4096, 16), (4097, 17), (257, 2), (256, 1), (3, 1)):
        found = law.epochs_until_given_up(DEEP, TABLE._replace(n_observations=rows), 1e-3, False, constants)
        assert found == pytest.approx([steps + 12])


def test_rates_cost_reach_from_32_inputs_on():
    constants = EMPTY._replace(reach=(("rate, inputs", 1.0),))
    for inputs, doublings in ((1, 0), (31, 0), (32, 0), (64, 1), (1024, 5)):
        found = law.chance_to_reach(DEEP, Known(None, inputs, 1), 2e-3, False, np.array([1.5]), constants)
        assert log_odds(found) == pytest.approx(np.array([[doublings]]))


def test_chances_are_never_quite_0_or_1():
    for odds in (-1e3, 1e3):
        constants = EMPTY._replace(reach=(("one", odds),))
        found = law.chance_to_reach(DEEP, TABLE, 1e-3, False, np.array([1.5]), constants)
        assert log_odds(found) == pytest.approx(np.copysign(30, odds), rel=1e-3)
