"""What is expected of a network on rows that had no part in the search: closed forms, and how often it comes true."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import sizer
from sizer.size_search.data.halves import Validation
from sizer.size_search.data.metrics import CLASSIFICATION, REGRESSION
from sizer.size_search.data.other_rows import deciding_rows, expected_elsewhere
from sizer.size_search.log import read_checkpoint
from sizer.size_search.saved_network import SavedNetwork

draw = np.random.default_rng(17)


def guessed(rows: int, metric: str, error: float = 0.5) -> tuple[Validation, np.ndarray]:
    """A task of numbers, and predictions off by normal errors."""
    truth = draw.standard_normal((rows, 1))
    return Validation(REGRESSION, truth, 1, metric), truth + error * draw.standard_normal((rows, 1))


@pytest.mark.parametrize(("rows", "decide"), [(1000, 500), (300, 300)])
def test_the_interval_of_a_mean_is_that_of_its_standard_error(rows, decide):
    validation, predictions = guessed(rows, "mse")
    deciding = deciding_rows(validation)
    squares = (predictions[deciding] - validation.targets[deciding]) ** 2
    found = expected_elsewhere(validation, predictions[deciding], float(squares.mean()))
    assert found.n_rows == len(deciding) == decide
    assert found.low < squares.mean() < found.high
    assert (found.high - found.low) / 2 == pytest.approx(1.7 * squares.std() / np.sqrt(decide), rel=0.4)


@pytest.mark.parametrize("metric", ["loss", "rmse", "r2"])
def test_nine_of_ten_intervals_hold_the_value_of_all_other_rows(metric):
    true = {"loss": 0.25, "rmse": 0.5, "r2": 0.75}[metric]
    hits = 0
    for _ in range(200):
        validation, predictions = guessed(300, metric)
        deciding = deciding_rows(validation)
        value = validation.value_on(predictions[deciding], deciding)
        found = expected_elsewhere(validation, predictions[deciding], value)
        hits += found.low <= true <= found.high
    assert 0.82 <= hits / 200 <= 0.97


@pytest.mark.parametrize("wrong", [0, 7, 60])
def test_a_share_of_rows_has_wilsons_interval(wrong):
    classes = np.repeat([0, 1], 200)
    validation = Validation(CLASSIFICATION, classes, 2, "error")
    deciding = deciding_rows(validation)
    found = expected_elsewhere(validation, np.zeros((len(deciding), 2)), wrong / len(deciding))
    known = stats.binomtest(wrong, len(deciding)).proportion_ci(0.9, method="wilson")
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=1e-4)


def test_rows_that_say_nothing_give_no_interval():
    classes = np.repeat([0, 1], 300)
    validation = Validation(CLASSIFICATION, classes, 2, "auc")
    right = np.where(classes[:, None] == [0, 1], 4.0, -4.0)[deciding_rows(validation)]
    assert expected_elsewhere(validation, right, 1.0) is None  # (every row is right: nothing scatters)
    validation, predictions = guessed(600, "loss")
    predictions[deciding_rows(validation)[0]] = np.nan
    assert expected_elsewhere(validation, predictions[deciding_rows(validation)], 0.2) is None


def test_a_search_says_what_to_expect_of_its_network_and_of_the_best_one_where_it_fails(tmp_path):
    random = np.random.default_rng(3)
    x = random.normal(size=(900, 4))
    y = x @ [1.0, -2.0, 0.5, 0.0] + 0.7 * random.normal(size=900)
    asked = {"depth": 2, "batch_size": 32, "learning_rate": 0.01, "widths": (8, 16), "device": "cpu"}
    found = sizer.search((x, y), target_metric=("mse", 0.62), folder=tmp_path / "a", **asked)
    assert found.other_rows.low < found.winner.best_value < found.other_rows.high
    assert found.other_rows.n_rows == 180  # (a fifth, crossed)
    fresh = random.normal(size=(20_000, 4))
    true = np.mean((found.network.predict(fresh) - fresh @ [1.0, -2.0, 0.5, 0.0]) ** 2) + 0.49
    assert found.other_rows.low < true < found.other_rows.high
    asked |= {"target_metric": ("mse", 0.1), "max_epochs": 15, "widths": (512,), "learning_rate": 0.03}
    failed = sizer.search((x, y), folder=tmp_path / "b", **asked)
    assert (failed.other_rows, failed.network) == (None, None)
    failed = sizer.search((x, y), folder=tmp_path / "b", save_best=True, **asked)
    assert failed.other_rows.low < failed.best.best_value < failed.other_rows.high
    (checkpoint,) = (tmp_path / "b" / "trials" / failed.best.name).glob("*.pt")
    best = read_checkpoint(checkpoint.read_bytes())["best"]
    assert best["epoch"] < failed.best.epochs  # (it overfits: its last weights are others)
    network = failed.network
    again = SavedNetwork.of_weights(network.preparation, network.topology, best["weights"], network.facts)
    assert np.array_equal(network.predict(x), again.predict(x))
