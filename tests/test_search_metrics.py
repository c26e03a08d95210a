"""Metrics against scikit-learn-free closed forms and scipy, the task's baseline, and what counts as reached."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from sizer.base.errors import UsageError
from sizer.size_search.data.metrics import check_target, evaluate, higher_is_better, metric_names, reached
from sizer.size_search.data.table import Task

random = np.random.default_rng(1)
LOGITS, CLASSES = random.normal(size=(200, 4)), random.integers(0, 4, 200)
PREDICTED, TARGETS = random.normal(size=(150, 2)), random.normal(size=(150, 2))


def test_losses_are_torchs():
    entropy = torch.nn.functional.cross_entropy(torch.from_numpy(LOGITS), torch.from_numpy(CLASSES))
    assert evaluate("loss", "classification", LOGITS, CLASSES) == pytest.approx(entropy.item(), rel=1e-12)
    squared = torch.nn.functional.mse_loss(torch.from_numpy(PREDICTED), torch.from_numpy(TARGETS))
    assert evaluate("loss", "regression", PREDICTED, TARGETS) == pytest.approx(squared.item(), rel=1e-12)
    assert evaluate("loss", "classification", LOGITS + 1e4, CLASSES) == pytest.approx(entropy.item(), rel=1e-6)


def test_errors_are_in_the_datas_units_and_the_loss_is_not():
    scale = np.array([2.0, 30.0])
    difference = (PREDICTED - TARGETS) * scale
    assert evaluate("rmse", "regression", PREDICTED, TARGETS, scale) == pytest.approx(np.sqrt((difference**2).mean()))
    assert evaluate("mse", "regression", PREDICTED, TARGETS, scale) == pytest.approx((difference**2).mean())
    assert evaluate("mae", "regression", PREDICTED, TARGETS, scale) == pytest.approx(np.abs(difference).mean())
    assert evaluate("loss", "regression", PREDICTED, TARGETS, scale) == evaluate(
        "loss", "regression", PREDICTED, TARGETS
    )


def test_r2_is_that_of_a_straight_line_where_that_predicts():
    x = random.normal(size=100)
    y = 3 * x + random.normal(size=100)
    line = stats.linregress(x, y)
    predicted = (line.slope * x + line.intercept)[:, None]
    assert evaluate("r2", "regression", predicted, y[:, None]) == pytest.approx(line.rvalue**2)
    assert evaluate("r2", "regression", np.full((100, 1), y.mean()), y[:, None]) == pytest.approx(0, abs=1e-12)


def test_shares_on_a_case_worked_by_hand():
    # Classes 0 0 0 1 1 2, predicted 0 0 1 1 2 2: recalls 2/3 1/2 1, F1 4/5 1/2 2/3.
    logits = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    classes = np.array([0, 0, 0, 1, 1, 2])
    values = {name: evaluate(name, "classification", logits, classes) for name in metric_names("classification")}
    assert values["accuracy"] == pytest.approx(4 / 6)
    assert values["error"] == pytest.approx(2 / 6)
    assert values["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert values["f1"] == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)


def test_auc_is_the_mann_whitney_statistic_with_ties():
    scores = random.integers(0, 5, 300).astype(float)
    classes = random.integers(0, 2, 300)
    logits = np.stack([np.zeros(300), scores], axis=1)
    u = stats.mannwhitneyu(scores[classes == 1], scores[classes == 0]).statistic
    expected = u / ((classes == 1).sum() * (classes == 0).sum())
    assert evaluate("auc", "classification", logits, classes) == pytest.approx(expected)
    assert math.isnan(evaluate("auc", "classification", logits[:5], np.zeros(5, int)))


def test_reached_in_either_direction_but_not_by_nonsense():
    assert reached("loss", 0.25, 0.25)
    assert not reached("loss", 0.26, 0.25)
    assert reached("accuracy", 0.9, 0.9)
    assert not reached("accuracy", 0.89, 0.9)
    for value in (math.nan, math.inf, -math.inf):
        assert not reached("loss", value, 0.25)
        assert not reached("r2", value, 0.25)
    assert higher_is_better("auc")
    assert not higher_is_better("mae")
    assert math.isnan(evaluate("loss", "regression", np.full((3, 1), np.inf), np.zeros((3, 1))))


@pytest.mark.parametrize(
    ("name", "kind", "target", "said"),
    [
        ("accuracy", "classification", 95, "from 0 to 1"),
        ("r2", "regression", 1.5, "at or below 1"),
        ("loss", "regression", -0.1, "at or above 0"),
        ("loss", "regression", math.nan, "expected a number"),
        ("accuracy", "regression", 0.5, "expected one of loss, mse"),
        ("f7", "classification", 0.5, "accuracy"),
    ],
)
def test_targets_that_make_no_sense(name, kind, target, said):
    with pytest.raises(UsageError, match=said):
        check_target(name, kind, target)


def test_the_baseline_predicts_what_training_saw():
    x = np.zeros((4, 1), np.float32)
    targets = np.array([[0.0], [2.0], [4.0], [6.0]], np.float32)
    regression = Task("r", "regression", x, targets, x, targets + 1, 1, "rmse", np.array([10.0]))
    assert regression.baseline_loss == pytest.approx(5 + 1)
    assert regression.baseline_value == pytest.approx(10 * math.sqrt(6))
    classes = np.array([0, 0, 0, 1])
    task = Task("c", "classification", x, classes, x[:2], np.array([0, 2]), 3, "accuracy")
    whole = 3 / 4 + 1 / 4 + 0.5 / 4  # (the class that training lacks counts as half an observation)
    assert task.baseline_loss == pytest.approx(-(math.log(3 / 4 / whole) + math.log(0.5 / 4 / whole)) / 2)
    assert task.baseline_value == 0.5
    assert (task.input_dim, task.n_observations) == (1, 4)
