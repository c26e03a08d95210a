"""A recommended network ready to train: its optimizer, averages of its weights, and the script that `--emit` prints."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sizer.base.errors import UsageError
from sizer.method.advisor import recommend
from sizer.method.request import Request
from sizer.report.torch_code import torch_code


def asked(**options) -> Request:
    return Request(**{"input_dim": 6, "depth": (4,), "output_dim": 1, "batch_size": (32,), **options})


@pytest.fixture
def best(small_cpu, time_coefficients):
    return recommend(asked(observations=100), small_cpu, time_coefficients).best


@pytest.mark.parametrize(
    ("name", "form", "momentum"),
    [
        ("adam", torch.optim.Adam, None),
        ("adamw", torch.optim.AdamW, None),
        ("sgd", torch.optim.SGD, 0.0),
        ("sgd-momentum", torch.optim.SGD, 0.9),
    ],
)
def test_the_optimizer_is_fused_and_has_the_suggested_rate(name, form, momentum, small_cpu, time_coefficients):
    found = recommend(asked(optimizer=name), small_cpu, time_coefficients).best
    model = found.build()
    optimizer = found.optimizer(model)
    assert type(optimizer) is form
    assert optimizer.defaults["fused"] is True
    assert optimizer.defaults["lr"] == (found.learning_rate or 1e-3)
    assert optimizer.defaults.get("momentum") == momentum
    model(torch.randn(8, 6)).sum().backward()
    optimizer.step()
    pinned = replace(found, learning_rate=0.123)
    assert pinned.optimizer(model).defaults["lr"] == 0.123


def test_weights_are_averaged_over_two_epochs_growing_from_the_start(best):
    model = best.build()
    averaged = best.average(model)
    window, by_hand = 2 * 4, None  # (100 rows in batches of 32)
    for update in range(1, 21):
        value = float(update**1.5)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(value)
        averaged.update_parameters(model)
        share = max(1 / ((update - 1) / 2 + 1), 1 / window)
        by_hand = value if by_hand is None else by_hand + (value - by_hand) * share
        for parameter in averaged.module.parameters():
            assert parameter.flatten()[0].item() == pytest.approx(by_hand, rel=1e-4)
    assert averaged(torch.zeros(2, 6)).shape == (2, 1)
    again = best.average(best.build())
    again.load_state_dict(averaged.state_dict())
    assert torch.equal(again(torch.ones(2, 6)), averaged(torch.ones(2, 6)))


def test_averaging_needs_to_know_how_long_an_epoch_is(small_cpu, time_coefficients):
    found = recommend(asked(), small_cpu, time_coefficients).best
    with pytest.raises(UsageError, match="how many observations"):
        found.average(found.build())
    assert found.average(found.build(), 100).multi_avg_fn.keywords == {"window": 8.0}


def test_averages_of_long_epochs_are_updated_now_and_then(best):
    """An update beside each step would cost as much as a small step does."""
    model = best.build()
    averaged = best.average(model, 32 * 100)
    for _ in range(33):
        averaged.update_parameters(model)
    assert int(averaged.n_averaged) == 5
    assert averaged.multi_avg_fn.keywords == {"window": 25.0}


@pytest.mark.parametrize(
    "options", [{}, {"learning_rate": 1e-3}, {"optimizer": "sgd-momentum"}, {"shape": ("rectangle_residual",)}]
)
def test_the_emitted_script_trains(options, tmp_path, small_cpu, time_coefficients):
    record = recommend(asked(observations=256, **options), small_cpu, time_coefficients)
    torch.manual_seed(0)
    script = runpy.run_path(str(written(record, tmp_path)))
    x = torch.randn(256, 6)
    y = x[:, :2].sum(dim=1, keepdim=True)
    losses = [script["train_epoch"](x, y) for _ in range(8)]
    assert losses[-1] < losses[0]
    rate = script["optimizer"].defaults["lr"]
    assert rate == (record.best.learning_rate or 1e-3)
    assert ("averaged" in script) is bool(record.best.averaged)
    if record.best.averaged:
        mine = record.best.average(script["model"])
        mine.load_state_dict(script["averaged"].state_dict())
        assert int(mine.n_averaged) == 8 * 4  # (every other of 8 steps)
        before = script["averaged"].module[0].weight.detach().clone()
        for one in (mine, script["averaged"]):
            one.update_parameters(script["model"])
        assert not torch.equal(script["averaged"].module[0].weight, before)
        assert torch.allclose(mine.module[0].weight, script["averaged"].module[0].weight)


def written(record, folder: Path) -> Path:
    """The emitted script in a file."""
    path = folder / "network.py"
    path.write_text(torch_code(record), encoding="utf-8")
    return path


def test_a_script_for_inference_is_the_network_alone(tmp_path, small_cpu, time_coefficients):
    record = recommend(asked(purpose="inference"), small_cpu, time_coefficients)
    script = runpy.run_path(str(written(record, tmp_path)))
    assert "optimizer" not in script
    assert script["model"](torch.zeros(2, 6)).shape == (2, 1)
