"""Averaged weights beside the raw ones, and the validation rows that choose between them and that decide."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sizer.models.topology import Topology
from sizer.size_search.data.halves import CROSS_FIT_BELOW, halve, is_reached, judge
from sizer.size_search.data.metrics import CLASSIFICATION, REGRESSION
from sizer.size_search.data.table import Task
from sizer.size_search.log import read_checkpoint, write_checkpoint
from sizer.size_search.trials.averaging import AVERAGED, RAW, WINDOW_EPOCHS, AveragedWeights, weights_of
from sizer.size_search.trials.training import NetworkTraining, predictions
from sizer.size_search.trials.trial import SliceSpec, run_slice


def waves(validation: int = 600, metric: str = "loss") -> Task:
    draw = np.random.default_rng(0)
    x = draw.standard_normal((900 + validation, 4)).astype(np.float32)
    y = (np.sin(2 * x[:, :1]) * x[:, 1:2] + 0.3 * draw.standard_normal((len(x), 1))).astype(np.float32)
    return Task("waves", REGRESSION, x[:900], y[:900], x[900:], y[900:], output_dim=1, metric=metric)


def spec(epochs: int = 1, width: int = 24, **changes: object) -> SliceSpec:
    given = {"batch_size": 32, "optimizer": "adam", "learning_rate": 0.02, "seed": 3, "threads": 1, **changes}
    return SliceSpec("trial", Topology.of_first_width("rectangle", width, 3, 4, 1), epochs=epochs, **given)


def test_the_average_is_over_about_two_epochs_and_grows_from_the_start():
    """Weights that count the steps: the average lags by the window's length, half of the steps while these are few."""
    model = torch.nn.Linear(1, 1, bias=False)
    average = AveragedWeights(model, steps_per_epoch=100)
    lags = {}
    for step in range(1, 2001):
        model.weight.data.fill_(step)
        average.step()
        lags[step] = step - average.module.weight.item()
    window = WINDOW_EPOCHS * 100
    assert lags[2000] == pytest.approx(window, rel=0.05)
    assert lags[20] < 10
    assert all(lag <= window for lag in lags.values())


def test_the_average_goes_on_through_checkpoints():
    straight = run_slice(waves(), spec(5))
    first = run_slice(waves(), spec(2))
    second = run_slice(waves(), spec(3, checkpoint=first.state))
    assert [epoch.metric for epoch in (*first.epochs, *second.epochs)] == [epoch.metric for epoch in straight.epochs]
    for which in (RAW, AVERAGED):
        one, other = (weights_of(read_checkpoint(result.state), which) for result in (straight, second))
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_checkpoint_without_an_average_starts_one_from_its_weights():
    state = read_checkpoint(run_slice(waves(), spec(2)).state)
    del state["averaged"]
    training = NetworkTraining(waves(), spec(checkpoint=write_checkpoint(state)))
    for one, other in zip(training.model.parameters(), training.averaged.module.parameters(), strict=True):
        assert torch.equal(one, other)
    assert training.averaged.steps == 0


def test_at_a_high_rate_the_average_is_the_better_and_the_epoch_says_which():
    task = waves()
    epochs = run_slice(task, spec(15, learning_rate=0.05)).epochs
    assert sum(epoch.weights == AVERAGED for epoch in epochs) >= 10
    state = read_checkpoint(run_slice(task, spec(15, learning_rate=0.05)).state)
    values = {}
    for which in (RAW, AVERAGED):
        model = spec().topology.build()
        model.load_state_dict(weights_of(state, which))
        for half in (0, 1):
            rows = task.validation.halves[half]
            found = predictions(model, torch.from_numpy(task.validation_features[rows]))
            values[which, half] = task.validation.value_on(found, rows)
    better = min((RAW, AVERAGED), key=lambda which: values[which, 0])
    assert epochs[-1].weights == better
    assert (epochs[-1].choosing, epochs[-1].metric) == (values[better, 0], values[better, 1])


def test_a_grown_average_is_of_the_grown_weights():
    small = run_slice(waves(), spec(6)).state
    grown = NetworkTraining(waves(), spec(width=48, parent="trial", parent_checkpoint=small))
    before = spec().topology.build()
    before.load_state_dict(weights_of(read_checkpoint(small), AVERAGED))
    features = torch.from_numpy(waves().validation_features)
    change = predictions(grown.averaged.module, features) - predictions(before, features)
    assert np.abs(change).max() < 0.2 * predictions(before, features).std()  # (copies carry noise of a hundredth)


@pytest.mark.parametrize("rows", [2, 3, 401, 1000])
def test_halves_are_alike_in_their_target_and_hold_every_row_once(rows):
    targets = np.random.default_rng(1).exponential(size=(rows, 1))
    choosing, deciding = halve(targets)
    assert sorted([*choosing, *deciding]) == list(range(rows))
    assert 0 <= len(deciding) - len(choosing) <= 1
    if rows > 400:
        assert targets[choosing].mean() == pytest.approx(targets[deciding].mean(), rel=0.05)
    classes = np.repeat(np.arange(4), rows)  # (in order, as files often are)
    counts = [np.bincount(classes[half]) for half in halve(classes)]
    assert np.abs(counts[0] - counts[1]).max() <= 1


def test_few_rows_and_a_half_without_a_metric_are_crossed():
    assert waves(CROSS_FIT_BELOW - 1).validation.halves.is_crossed
    assert not waves(CROSS_FIT_BELOW).validation.halves.is_crossed
    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((900, 3)).astype(np.float32), np.zeros(900, dtype=np.int64)
    y[[5, 500]] = 1  # (one in the validation part: an area under the curve needs both)
    task = Task("rare", CLASSIFICATION, x[:400], y[:400], x[400:], y[400:], output_dim=2, metric="auc")
    assert task.validation.halves.is_crossed


def _noise_candidates(task: Task, count: int, seed: int) -> list:
    """Networks that know nothing: predictions drawn at random, so that the best of them is only lucky."""
    draw = np.random.default_rng(seed)
    drawn = 0.5 * draw.standard_normal((count, len(task.validation_targets), 1))
    return [lambda half, of=of: of[task.validation.halves[half]] for of in drawn]


@pytest.mark.parametrize("validation", [200, 600])
def test_the_best_of_many_is_not_flattered(validation):
    """Of fifty networks that know nothing the chosen one is judged as any: its luck was on the other rows."""
    task = waves(validation)
    judged, lucky, typical = [], [], []
    for seed in range(30):
        candidates = _noise_candidates(task, 50, seed)
        judged.append(judge(task.validation, candidates).value)
        together = np.concatenate(task.validation.halves[:2])
        whole = [task.validation.value_on(np.concatenate([one(0), one(1)]), together) for one in candidates]
        lucky.append(min(whole))
        typical.append(np.mean(whole))
    assert np.mean(lucky) < 0.95 * np.mean(typical)
    assert np.mean(judged) == pytest.approx(np.mean(typical), rel=0.05)


def test_the_rows_that_choose_propose_and_those_that_decide_confirm():
    assert is_reached("loss", 0.2, 0.2, 0.25)
    assert not is_reached("loss", 0.3, 0.2, 0.25)
    assert not is_reached("loss", 0.2, 0.3, 0.25)
    assert is_reached("accuracy", 0.9, None, 0.9)
    assert not is_reached("accuracy", 0.9, math.nan, 0.9)


def test_a_trial_stops_only_where_both_halves_meet_the_target():
    task = waves()
    target = 1.05 * min(max(epoch.metric, epoch.choosing) for epoch in run_slice(task, spec(12)).epochs)
    epochs = run_slice(task, replace(spec(60), target=target)).epochs
    assert len(epochs) < 60
    assert max(epochs[-1].metric, epochs[-1].choosing) <= target
    assert all(max(epoch.metric, epoch.choosing) > target for epoch in epochs[:-1])
