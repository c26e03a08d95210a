"""The base of learning curves (benchmarks/curves.py): stacked trainings are plain ones, and packing loses nothing."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sizer.models.topology import Topology

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import curve_base
import curve_stacks
from curve_stacks import Member, Rows, Stack, losses_of, train

TOPOLOGY = Topology("rectangle", 5, (7, 7, 3))


def _rows(count: int, regression: bool) -> Rows:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(count, 5, generator=generator)
    if regression:
        return Rows(features, features[:, :3].sin() + 0.1 * torch.randn(count, 3, generator=generator))
    return Rows(features, torch.randint(0, 3, (count,), generator=generator))


def _plain(member: Member, rows: Rows, regression: bool, epochs: int) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The same training as anybody writes it: nn.Sequential, torch's Adam, a loss of torch, an AveragedModel."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(member.seed)
        layers = [torch.nn.Linear(5, 7), torch.nn.ReLU(), torch.nn.Linear(7, 7), torch.nn.ReLU(), torch.nn.Linear(7, 3)]
        model = torch.nn.Sequential(*layers)
    order = torch.Generator().manual_seed(member.seed)
    adam = torch.optim.Adam(model.parameters(), lr=member.learning_rate)
    window = curve_stacks.AVERAGED_EPOCHS * math.ceil(len(rows.targets) / 16)
    averaged = torch.optim.swa_utils.AveragedModel(
        model, avg_fn=lambda average, now, steps: average + (now - average) / min(float(steps) / 2 + 1, window)
    )
    loss = torch.nn.functional.mse_loss if regression else torch.nn.functional.cross_entropy
    for _ in range(epochs):
        for batch in torch.randperm(len(rows.targets), generator=order).split(16):
            adam.zero_grad()
            loss(model(rows.features[batch]), rows.targets[batch]).backward()
            adam.step()
            averaged.update_parameters(model)
    return model, averaged


@pytest.mark.parametrize("regression", [False, True])
def test_each_member_of_a_stack_is_an_ordinary_training(regression: bool) -> None:
    rows = _rows(70, regression)
    members = [Member(3, 1e-3), Member(4, 1e-2), Member(5, 1e-2)]
    stack = Stack(TOPOLOGY, members, regression)
    for _ in range(3):
        stack.train_epoch(rows, 16)
    stack.keep([0, 2])  # the one in the middle has ended
    for _ in range(3):
        stack.train_epoch(rows, 16)
    raw, averaged = stack.outputs(rows.features)
    for position, member in enumerate([members[0], members[2]]):
        model, average = _plain(member, rows, regression, 6)
        torch.testing.assert_close(raw[position], model(rows.features), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(averaged[position], average(rows.features), rtol=1e-4, atol=1e-5)


def test_a_member_that_diverges_harms_no_other() -> None:
    rows = _rows(70, regression=True)
    alone, beside = Stack(TOPOLOGY, [Member(3, 1e-3)], True), Stack(TOPOLOGY, [Member(3, 1e-3), Member(4, 1e38)], True)
    (alone_curve,) = _curves(alone, rows, epochs=5)
    good, bad = _curves(beside, rows, epochs=5)
    np.testing.assert_allclose(good.losses, alone_curve.losses, rtol=1e-4)
    assert bad.ended == "diverged"
    assert len(bad.losses) < 5


def _curves(stack: Stack, rows: Rows, epochs: int) -> list[curve_stacks.Curve]:
    curves: list[curve_stacks.Curve] = []
    for epoch, now in enumerate(train(stack, rows, rows, (20, 20, 30), 16, cpu_s=60.0), start=1):
        curves = now
        if epoch == epochs:
            break
    return curves


def test_a_member_ends_when_neither_raw_nor_averaged_weights_gain() -> None:
    curve = curve_stacks.Curve(Member(0, 1e-3))
    for raw, averaged in [(1.0, 2.0), (3.0, 1.0), *[(3.0, 3.0)] * (curve_stacks.PATIENCE - 1)]:
        curve.losses.append(np.array([[raw] * 3, [averaged] * 3], dtype=np.float32))
        assert curve.judge() == ""
    curve.losses.append(np.full((2, 3), 3.0, dtype=np.float32))
    assert curve.judge() == "stalled"


@pytest.mark.parametrize("regression", [False, True])
def test_losses_are_those_of_torch(regression: bool) -> None:
    rows = _rows(30, regression)
    outputs = torch.randn(2, 4, 30, 3)
    ours = losses_of(outputs, rows.targets, regression)
    loss = torch.nn.functional.mse_loss if regression else torch.nn.functional.cross_entropy
    torch.testing.assert_close(ours[1, 2].mean(), loss(outputs[1, 2], rows.targets))


def test_what_was_recorded_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = np.exp(np.random.default_rng(0).normal(size=(7, 2, 3)) * 3).astype(np.float32)
    losses[4, 1, 2], losses[5, 0, 0] = np.nan, 0.0
    said = np.array([[[[0.9, 0.1]] * 4] * 2] * 3, dtype=np.float32)
    job = {"task": "toy", "exponent": 7, "depth": 3, "shape": "rectangle", "batch_size": 256}
    np.savez_compressed(
        tmp_path / "stack.npz",
        job=np.array(json.dumps(job)),
        input_dim=np.array(5),
        widths=np.array([7, 7, 2]),
        seeds=np.array([0, 1]),
        rates=np.array([1e-3, 4e-3]),
        ended=np.array(["stalled", "time"]),
        epochs=np.array([3, 4]),
        losses=losses,
        predicted=np.array([(0, 1), (0, 2), (1, 1)]),
        predictions=curve_base.predicted_bytes(np.log(said), False),
    )
    np.savez_compressed(tmp_path / "refused.npz", job=np.array(json.dumps(job)), refused=np.array("too few"))
    monkeypatch.setattr(curve_base, "BASE", tmp_path / "base")
    stacks = [tmp_path / "refused.npz", tmp_path / "stack.npz"]
    curve_base.pack_task(_toy(), stacks, tmp_path / "base")
    curve_base.pack_predictions(_toy(), stacks, tmp_path / "base", 2)
    first, second = curve_base.read_base("toy")
    assert (first.seed, second.learning_rate, second.num_free_parameters) == (1 - 1, 4e-3, 6 * 7 + 8 * 7 + 8 * 2)
    read = np.concatenate([first.losses, second.losses])
    assert read[4, 1, 2] == math.inf
    assert read[5, 0, 0] < 1e-9
    good = np.isfinite(read) & (read > 1e-8)
    np.testing.assert_allclose(read[good], losses[good], rtol=4e-4)
    predictions = curve_base.read_predictions("toy")
    assert predictions is not None
    np.testing.assert_allclose(predictions.said, said, atol=0.03)
    assert [(key.seed, epoch) for key, epoch in zip(predictions.keys, predictions.epochs, strict=True)] == [
        (0, 1),
        (0, 2),
        (1, 1),
    ]
    np.testing.assert_allclose(predictions.losses, losses[[0, 1, 3]], rtol=4e-4)
    assert predictions.targets.tolist() == [0, 0, 1, 1]
    assert curve_base.tasks() == ("toy",)


def _toy() -> Any:
    """A task with two rows to choose by and two to decide by."""
    from curve_tasks import CurveTask

    rows, targets = np.zeros((4, 5), dtype=np.float32), np.array([0, 0, 1, 1])
    return CurveTask("toy", False, 2, rows, targets, rows, targets, (2, 2, 0), 0.7, "made up")
