"""Trials: slices that go on bit for bit, and trainings that end badly."""

from __future__ import annotations

import gc
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sizer.base.errors import UsageError
from sizer.models.topology import Topology
from sizer.size_search.data.metrics import CLASSIFICATION, REGRESSION
from sizer.size_search.data.table import CustomTask, Task, TrainedEpoch
from sizer.size_search.log import read_checkpoint, write_checkpoint
from sizer.size_search.trials.training import NetworkTraining
from sizer.size_search.trials.trial import LocalEngine, SliceSpec, run_slice


def regression(rows: int = 240, metric: str = "loss") -> Task:
    draw = np.random.default_rng(0)
    features = draw.standard_normal((rows, 4)).astype(np.float32)
    targets = np.sin(features[:, :1] + features[:, 1:2]).astype(np.float32)
    cut = rows * 3 // 4
    parts = features[:cut], targets[:cut], features[cut:], targets[cut:]
    return Task("sine", REGRESSION, *parts, output_dim=1, metric=metric)


def spec(epochs: int = 1, **changes: object) -> SliceSpec:
    settings = {"batch_size": 32, "optimizer": "adam", "learning_rate": 3e-3, "seed": 7, "threads": 1}
    return SliceSpec("trial", Topology("rectangle", 4, (16, 16, 1)), epochs=epochs, **{**settings, **changes})


def losses(result) -> list[float]:
    return [epoch.validation_loss for epoch in result.epochs]


def weights(checkpoint: bytes) -> list[torch.Tensor]:
    return list(read_checkpoint(checkpoint)["model"].values())


@pytest.mark.parametrize("optimizer", ["adam", "sgd-momentum"])
def test_slices_are_bit_for_bit_one_training(optimizer):
    task, whole = regression(), spec(6, optimizer=optimizer)
    straight = run_slice(task, whole)
    first = run_slice(task, replace(whole, epochs=2))
    torch.manual_seed(123)  # whatever happens in between
    second = run_slice(task, replace(whole, epochs=4, checkpoint=first.state))
    assert losses(first) + losses(second) == losses(straight)
    for one, other in zip(weights(straight.state), weights(second.state), strict=True):
        assert torch.equal(one, other)
    assert [epoch.epoch for epoch in second.epochs] == [3, 4, 5, 6]


def test_another_seed_is_another_training():
    task = regression()
    assert losses(run_slice(task, spec(2))) != losses(run_slice(task, spec(2, seed=8)))


def test_a_trial_learns_and_stops_where_the_target_is_met():
    task = regression()
    result = run_slice(task, spec(200, target=0.3 * task.baseline_loss))
    assert 1 < len(result.epochs) < 200
    assert result.epochs[-1].metric <= 0.3 * task.baseline_loss < result.epochs[-2].metric
    assert result.ended is None


def test_a_metric_that_is_better_when_higher_stops_above_the_target():
    result = run_slice(regression(metric="r2"), spec(200, target=0.5))
    assert result.epochs[-1].metric >= 0.5 > result.epochs[-2].metric


def test_a_loss_that_is_no_longer_finite_ends_the_trial():
    task = regression()
    task.train_targets[:] = 1e30
    result = run_slice(task, spec(5))
    assert "no longer finite in epoch 1" in result.ended
    assert len(result.epochs) == 1
    assert (result.checkpoint, result.state) == (None, None)


def test_threads_and_random_numbers_are_left_as_they_were():
    before, state = torch.get_num_threads(), torch.get_rng_state()
    run_slice(regression(), spec(1, threads=1))
    assert torch.get_num_threads() == before
    assert torch.equal(torch.get_rng_state(), state)


def test_epochs_say_what_they_took():
    epoch = run_slice(regression(), spec(1)).epochs[0]
    assert epoch.steps == math.ceil(180 / 32)
    assert 0 < epoch.quiet_s <= epoch.time_s * 1.001
    assert epoch.energy_j is None


def test_class_indices_are_trained_with_cross_entropy():
    source = regression()
    labels = [(part[:, 0] > 0).astype(np.int64) for part in (source.train_targets, source.validation_targets)]
    task = Task(
        "sign", CLASSIFICATION, source.train_features, labels[0], source.validation_features, labels[1], output_dim=2
    )
    network = SliceSpec("two", Topology("rectangle", 4, (16, 16, 2)), 32, "adam", 1e-2, 0, threads=1, epochs=20)
    result = run_slice(task, network)
    assert result.epochs[-1].validation_loss < 0.5 * task.baseline_loss


def test_a_grown_trial_starts_where_the_smaller_one_stopped():
    task = regression()
    small = run_slice(task, spec(40))
    large = SliceSpec("large", Topology("rectangle", 4, (32, 32, 1)), 32, "adam", 3e-3, 7, threads=1, parent="trial")
    grown = run_slice(task, replace(large, parent_checkpoint=small.state))
    scratch = run_slice(task, large)
    assert grown.parent == "trial"
    assert grown.epochs[0].validation_loss < 2 * small.epochs[-1].validation_loss
    assert grown.epochs[0].validation_loss < 0.5 * scratch.epochs[0].validation_loss


def test_a_damaged_checkpoint_is_said_in_one_line():
    with pytest.raises(UsageError, match="damaged"):
        read_checkpoint(b"not a checkpoint")
    with pytest.raises(UsageError, match="damaged"):
        read_checkpoint(write_checkpoint({"epoch": 1})[:100])


def halving(topology, epochs, seed, resume_state):
    """A training of the user's own: its loss halves each epoch."""
    done = 0 if resume_state is None else resume_state["done"]
    for epoch in range(done + 1, done + epochs + 1):
        yield TrainedEpoch(2.0**-epoch, 0.5, {"done": epoch})


def stateless(topology, epochs, seed, resume_state):
    assert resume_state is None
    for epoch in range(1, epochs + 1):
        yield 2.0**-epoch, 0.5


@pytest.mark.parametrize("train", [halving, stateless])
@pytest.mark.parametrize("same_process", [True, False])
def test_a_users_training_goes_on_here_and_elsewhere(train, same_process):
    task = CustomTask("own", train, 4, 1, 100)
    engine = LocalEngine(task)
    engine.submit(spec(2))
    first = engine.collect()
    if not same_process:
        engine = LocalEngine(task)
    engine.submit(spec(3, target=2.0**-4, checkpoint=first.state))
    second = engine.collect()
    assert losses(first) + losses(second) == [2.0**-epoch for epoch in (1, 2, 3, 4)]
    assert [epoch.epoch for epoch in second.epochs] == [3, 4]
    assert second.epochs[0].quiet_s == 0.5


def test_a_users_training_is_let_go_of_after_its_last_epoch():
    """In a search of many trials, each held its network and its optimizer until the end."""
    let_go = []

    def train(topology, epochs, seed, resume_state):
        try:
            yield from halving(topology, epochs, seed, resume_state)
        finally:
            let_go.append(topology)

    engine = LocalEngine(CustomTask("own", train, 4, 1, 100))
    engine.submit(spec(1, max_epochs=2))
    first = engine.collect()
    assert not let_go
    engine.submit(spec(1, max_epochs=2, checkpoint=first.state))
    assert engine.collect().ended is None
    gc.collect()
    assert let_go


def test_a_users_training_that_stops_or_fails_ends_its_trial():
    short = CustomTask("short", lambda topology, epochs, seed, state: iter([(1.0, 0.1)]), 4, 1, 100)
    assert "no further epoch" in run_slice(short, spec(3)).ended
    broken = CustomTask("broken", lambda topology, epochs, seed, state: iter([(math.nan, 0.1)] * 3), 4, 1, 100)
    result = run_slice(broken, spec(3))
    assert "no longer finite" in result.ended
    assert len(result.epochs) == 1


def _here(device):
    return "cpu" if device == "cuda:0" else device


def staying(move):
    """What goes to the GPU stays where it is."""
    return lambda self, *where, **options: self if where == ("cuda:0",) else move(self, *where, **options)


def test_on_a_gpu_the_epoch_itself_is_timed(monkeypatch):
    """Steps return there before they are done: their times say nothing, and the epoch's say all."""
    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *a, device=None, **o: zeros(*a, **o, device=_here(device)))
    for owner in (torch.Tensor, torch.nn.Module):
        monkeypatch.setattr(owner, "to", staying(owner.to))
    epoch = NetworkTraining(regression(), spec(device="cuda:0")).run_epoch()
    assert epoch.quiet_s == pytest.approx(epoch.time_s, rel=1e-9)
    assert NetworkTraining(regression(), spec()).run_epoch().quiet_s != pytest.approx(epoch.time_s, rel=1e-9)
