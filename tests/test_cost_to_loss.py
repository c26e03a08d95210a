"""The law that sizes are compared by: its settings by what is asked, its costs by hand, and what it does not tell."""

from __future__ import annotations

import numpy as np
import pytest

from sizer.method import reach
from sizer.method.cost_to_loss import Law, carried_on, not_told
from sizer.method.epochs_to_loss import DIFFICULTIES, Pilot
from sizer.method.expectation import DOUBT, expected_cost, hardness_prior, narrowed
from sizer.method.placement import Hierarchy
from sizer.method.reach import AVERAGING, RATES, Known, Networks, as_rectangles
from sizer.method.request import Request
from sizer.method.sweep import Family, at_widths
from sizer.method.training_step import Training
from sizer.models import SHAPES

MEMORY = Hierarchy(("L1", "RAM"), (10_000, 10**10), (1, 1))
WIDTHS = np.array([8, 16, 32, 64, 128])


def asked(**options) -> Request:
    return Request(**{"input_dim": 30, "depth": (4,), "output_dim": 3, **options})


def networks(shape: str = "rectangle", depth: int = 4):
    family = Family(shape, depth, 30, 3, Training(256, observations=1000), "training", 1)
    return at_widths(family, MEMORY, WIDTHS).networks


@pytest.mark.parametrize(
    ("options", "rates", "averaging", "rated"),
    [
        ({}, RATES, (False, True), True),
        ({"optimizer": "adamw"}, RATES, (False, True), True),
        ({"averaged": True}, RATES, (True,), True),
        ({"averaged": False}, RATES, (False,), True),
        ({"learning_rate": 3e-3}, (3e-3,), (False,), True),
        ({"learning_rate": 3e-3, "averaged": True}, (3e-3,), (True,), True),
        ({"optimizer": "sgd"}, (1e-3,), (False,), False),
        ({"optimizer": "sgd", "averaged": True}, (1e-3,), (True,), False),
        ({"optimizer": "sgd", "learning_rate": 0.1}, (0.1,), (False,), True),
    ],
)
def test_rates_and_weights_that_each_size_may_be_trained_with(options, rates, averaging, rated):
    law = Law.of(asked(**options, observations=500, kind="classification"))
    assert (law.rates, law.averaging, law.rated) == (rates, averaging, rated)
    assert law.known == Known(500, 30, 3, regression=False)
    assert law.ratios.tolist() == hardness_prior(None)[0].tolist()
    assert law.weights.tolist() == hardness_prior(None)[1].tolist()


@pytest.mark.parametrize("options", [{"law": "paper"}, {"purpose": "inference"}])
def test_equation_10_knows_nothing_before_training(options):
    law = Law.of(asked(**options))
    assert law.known is None
    assert np.isnan(law.rates).tolist() == [True]
    assert (law.averaging, law.rated, len(law.ratios), len(law.weights)) == ((False,), False, 0, 0)
    assert law.outlook(np.array([[30], [8], [3]]), Training(), 1e-3, False) is None
    pinned = Law.of(asked(law="paper", learning_rate=0.01, averaged=True))
    assert (pinned.rates, pinned.averaging, pinned.rated) == ((0.01,), (True,), True)


def test_a_difficulty_or_pilots_narrow_the_prior():
    hard = Law.of(asked(difficulty="hard"))
    assert hard.ratios.tolist() == hardness_prior("hard")[0].tolist()
    pilots = (Pilot(1000, 0.4), Pilot(4000, 0.3))
    law = Law.of(asked(pilots=pilots, target_loss=0.2, observations=700))
    expected = narrowed(*hardness_prior(None), pilots, 0.2, Known(700, 30, 3))
    assert (law.ratios.tolist(), law.weights.tolist()) == (expected[0].tolist(), expected[1].tolist())


@pytest.mark.parametrize(("rows", "steps"), [(1, 1), (256, 1), (257, 2), (1000, 4)])
def test_the_last_batch_of_an_epoch_counts_whole(rows, steps):
    training = Training(256, observations=rows)
    assert Law.of(asked()).epoch_cost(np.array([2.0, 3.0]), training).tolist() == [512 * steps, 768 * steps]
    for law, trained in ((Law.of(asked(law="paper")), training), (Law.of(asked()), Training(256))):
        assert law.epoch_cost(np.array([2.0, 3.0]), trained).tolist() == [2.0, 3.0]


def test_by_equation_10_the_cost_is_that_of_the_relative_epochs():
    law = Law.of(asked(law="paper", learning_rate=0.01, averaged=True))
    found = law.reaching(networks(), "trapezoid", np.array([1.0, 2.0, np.inf, 4.0, 8.0]))
    parameters = 2 * WIDTHS**2 + 36 * WIDTHS + 3
    by_hand = np.array([1.0, 2.0, np.inf, 4.0, 8.0]) / (np.log2(parameters) - 1) ** 3
    assert found.cost == pytest.approx(by_hand)
    np.testing.assert_array_equal(found.learning_rate, [0.01, 0.01, np.nan, 0.01, 0.01])
    assert found.averaged.tolist() == [True, True, False, True, True]


def described(sizes: np.ndarray) -> Networks:
    """The networks of `WIDTHS`, as the learning curves know them."""
    parameters = (2 * WIDTHS**2 + 36 * WIDTHS + 3.0)[sizes]
    same = np.ones(len(parameters))
    return as_rectangles(parameters, 30, 3, 4 * same, 256 * same)


def test_by_learning_curves_each_size_has_the_setting_at_which_it_is_cheapest():
    law, epoch_cost = Law.of(asked()), np.array([1.0, 1.5, np.inf, 5.0, 20.0])
    found = law.reaching(networks(), "rectangle", epoch_cost)
    with_cost = np.array([0, 1, 3, 4])
    costs = {
        (rate, averaged): expected_cost(
            epoch_cost[with_cost] * (AVERAGING if averaged else 1.0),
            described(with_cost),
            law.known,
            rate,
            averaged,
            law.ratios,
            law.weights,
        )
        for rate in RATES
        for averaged in (False, True)
    }
    for position, index in enumerate(with_cost):
        least = min(costs, key=lambda setting: costs[setting][position])
        assert (found.learning_rate[index], found.averaged[index]) == least
        assert found.cost[index] == pytest.approx(costs[least][position])
    assert (found.cost[2], found.averaged[2]) == (np.inf, False)
    assert np.isnan(found.learning_rate[2])
    assert found.averaged.dtype == np.bool_


def test_at_a_low_rate_averages_bring_no_reach_and_raw_weights_save_their_passes():
    law, epoch_cost = Law.of(asked()), np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    found = law._replace(rates=(1e-3,)).reaching(networks(), "rectangle", epoch_cost)
    setting = described(np.arange(5)), law.known, 1e-3, False, law.ratios, law.weights
    assert not found.averaged.any()
    assert found.cost == pytest.approx(expected_cost(epoch_cost, *setting))


def test_nothing_is_reached_where_no_network_has_a_cost():
    found = Law.of(asked()).reaching(networks(), "rectangle", np.full(5, np.inf))
    assert found.cost.tolist() == [np.inf] * 5
    assert np.isnan(found.learning_rate).all()


def test_a_size_that_costs_more_than_a_larger_one_costs_as_much_more_as_its_epochs_do():
    """A failing smaller network goes on to the larger, which costs no more, and not to the dear one between."""
    law = Law.of(asked(learning_rate=1e-3))
    even = law.reaching(networks(), "rectangle", np.array([1.0, 2.0, 4.0, 4.0, 20.0])).cost
    dear = law.reaching(networks(), "rectangle", np.array([1.0, 2.0, 6.0, 4.0, 20.0])).cost
    assert dear == pytest.approx(even * [1, 1, 1.5, 1, 1])


def test_another_shape_than_the_rectangle_is_doubted():
    """By one squared octave: 1 + 0.4 (1 - e^-0.5)."""
    law, epoch_cost = Law.of(asked(learning_rate=1e-3)), np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    plain, other = (law.reaching(networks(), shape, epoch_cost).cost for shape in ("rectangle", "trapezoid"))
    assert other == pytest.approx(plain * (1 + DOUBT * (1 - np.exp(-0.5))))


def test_what_a_network_may_expect_is_the_mean_over_the_prior_of_each_difficulty():
    law = Law.of(asked(difficulty="hard", observations=1000))
    found = law.outlook(networks().full[:, 2:3], Training(256), 4e-3, True)
    setting = described(np.array([2])), law.known, 4e-3, True
    for difficulty in DIFFICULTIES:
        ratios, weights = hardness_prior(difficulty)
        chances, epochs = (of(*setting, ratios)[0] for of in (reach.chance_to_reach, reach.epochs_to_reach))
        assert found.chance_to_reach[difficulty] == pytest.approx(chances @ weights)
        assert found.epochs_to_reach[difficulty] == pytest.approx(epochs @ weights)
    assert found.chance == pytest.approx(found.chance_to_reach["hard"])
    assert found.epochs_until_given_up == pytest.approx(reach.epochs_until_given_up(*setting)[0])
    deeper, larger = (
        law.outlook(full, Training(batch_size), 4e-3, True)
        for full, batch_size in ((networks(depth=8).full[:, 2:3], 256), (networks().full[:, 2:3], 1024))
    )
    assert deeper.chance < found.chance
    assert larger.chance < found.chance


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depth": (2, 8), "batch_size": (64, 1024)}, []),
        ({"depth": (9,), "batch_size": (63,), "shape": ("exponential",)}, []),  # (nothing is compared)
        (
            {"depth": (4, 9)},
            ["no learning curve was recorded of depths 9: what those of depths 2 to 8 say is carried on there"],
        ),
        (
            {"depth": (2, 9, 16)},
            [
                "no learning curve was recorded of depths 9, 16: what those of depths 2 to 8 say is carried on there",
            ],
        ),
        (
            {"batch_size": (63, 64, 1025)},
            [
                "no learning curve was recorded of batch sizes 63, 1025: what those of batch sizes 64 to 1024 say is "
                "carried on there",
            ],
        ),
        (
            {"shape": ("rectangle", "exponential")},
            [
                "no learning curve was recorded of shapes exponential: what those of shapes rectangle, trapezoid, "
                "wide_first_4x say is carried on there",
            ],
        ),
        ({"learning_rate": 1e-3}, []),
        ({"learning_rate": 1.6e-2}, []),
        (
            {"learning_rate": 0.02},
            [
                "no learning curve was recorded at a learning rate of 0.02 (recorded: 0.001 to 0.016): chances and "
                "epochs are the law's, carried on",
            ],
        ),
        (
            {"optimizer": "sgd"},
            [
                "the learning curves are of Adam: sizes for sgd are compared as if it learnt as Adam does at 0.001, "
                "and no learning rate is suggested",
            ],
        ),
        ({"law": "paper"}, []),
        (
            {"law": "paper", "batch_size": (64, 256), "shape": SHAPES},
            [
                "the law of epochs to a loss knows nothing of the batch size: comparing batch sizes compares their "
                "cost per epoch only",
                "the law of epochs to a loss knows nothing of the shape: comparing shapes compares cost per epoch only",
            ],
        ),
        (
            {"purpose": "inference"},
            ["for inference the cost is that of one forward pass, weighted with the same law of epochs to a loss"],
        ),
    ],
)
def test_what_the_law_does_not_tell_is_said(options, said):
    assert list(not_told(asked(**options))) == said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depth": (2, 8), "batch_size": (64, 1024), "shape": ("trapezoid",)}, None),
        ({"depth": (9,), "law": "paper"}, None),
        ({"depth": (4, 9)}, "learning curves of depths 2 to 8, carried on"),
        (
            {"depth": (9,), "batch_size": (32,), "shape": ("exponential",)},
            "learning curves of depths 2 to 8, batch sizes 64 to 1024, shapes rectangle, trapezoid, wide_first_4x, "
            "carried on",
        ),
    ],
)
def test_curves_that_are_carried_on_are_named(options, said):
    assert carried_on(asked(**options)) == said
