"""A step of several calls: what it computes, keeps and costs."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from sizer.inspection.batch import batch_of
from sizer.inspection.counts import StepSettings, count
from sizer.inspection.whole_step import Calls, WholeStep, inspect_whole_step


def dense():
    return nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 4))


def normalised():
    return nn.Sequential(nn.Linear(12, 32), nn.LayerNorm(32), nn.Tanh(), nn.Linear(32, 4))


def inspect(device, coefficients, *calls, fused=True):
    parameters = {id(p): p for each in calls for p in each.module.parameters()}
    optimizer = torch.optim.Adam(parameters.values(), fused=fused)
    return inspect_whole_step(WholeStep(calls, optimizer, device, coefficients, {}))


def settings(batch, **options):
    return StepSettings((torch.empty(batch, 12, device="meta", **options),), {})


def saved_bytes(calls):
    """Distinct storages that autograd saves in calls that are alive together; parameters and inputs left out."""
    module = calls[0][0]
    inputs = [torch.rand(batch, 12) for _, batch in calls]
    known = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *inputs)}
    kept, alive = {}, []

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = [module(x) for (module, _), x in zip(calls, inputs, strict=True)]
    assert outputs
    return sum(kept.values())


@pytest.mark.parametrize("make", [dense, normalised])
def test_calls_that_are_alive_together_keep_what_autograd_saves(make, small_cpu, time_coefficients):
    module = make()
    record, _ = inspect(small_cpu, time_coefficients, Calls(module, settings(16), 2, (2,)))
    alone, _ = inspect(small_cpu, time_coefficients, Calls(module, settings(16), 1, (1,)))
    assert record.saved_activation_bytes == saved_bytes([(module, 16), (module, 16)])
    assert sum(record.flops) == 2 * sum(alone.flops)
    assert record.working_sets["o"] == alone.working_sets["o"]
    assert record.working_sets["b"].bytes > alone.working_sets["b"].bytes


@pytest.mark.parametrize("make", [dense, normalised])
def test_calls_with_a_backward_pass_each_keep_what_one_keeps(make, small_cpu, time_coefficients):
    module = make()
    record, parts = inspect(small_cpu, time_coefficients, Calls(module, settings(16), 8, (1,) * 8))
    alone, _ = inspect(small_cpu, time_coefficients, Calls(module, settings(16), 1, (1,)))
    assert record.working_sets == alone.working_sets
    assert record.saved_activation_bytes == alone.saved_activation_bytes
    assert record.flops == tuple(8 * flops for flops in alone.flops)
    assert sum(layer.flops.forward for layer in record.layers) == record.flops.forward
    assert parts[0].calls == 8


def test_the_worst_backward_pass_is_the_one_that_counts(small_cpu, time_coefficients):
    module = dense()
    large, small = Calls(module, settings(64), 1, (1, 0)), Calls(module, settings(4), 2, (0, 2))
    record, _ = inspect(small_cpu, time_coefficients, large, small)
    assert record.saved_activation_bytes == saved_bytes([(module, 64)])
    assert record.batch_size == 64


@pytest.mark.parametrize("fused", [True, False])
def test_more_calls_cost_more_passes_and_one_optimizers_step(small_cpu, time_coefficients, fused):
    module, time_s = dense(), {}
    for times in (1, 2, 8):
        calls = Calls(module, settings(16), times, (1,) * times)
        time_s[times] = inspect(small_cpu, time_coefficients, calls, fused=fused)[0].time_per_step_s
    passes = time_s[2] - time_s[1]
    assert 0 < passes < time_s[1]
    assert time_s[8] - time_s[1] == pytest.approx(7 * passes)
    # the coefficients price a layer in a pass 40 us and a step 200 us: two layers, two passes
    assert passes == pytest.approx(4 * 4e-5, rel=0.01)


def test_two_networks_cost_their_passes_and_one_optimizers_step(small_cpu, time_coefficients):
    one, other = dense(), dense()
    both, parts = inspect(small_cpu, time_coefficients, *(Calls(each, settings(16), 1, (1,)) for each in (one, other)))
    alone, _ = inspect(small_cpu, time_coefficients, Calls(one, settings(16), 1, (1,)))
    assert both.time_per_step_s == pytest.approx(2 * alone.time_per_step_s - time_coefficients.terms["step"])
    assert both.label == "estimated"
    assert both.num_parameters == 2 * alone.num_parameters
    assert [part.widths for part in parts] == [(12, 32, 4)] * 2


def test_a_step_with_an_input_that_needs_a_gradient_has_no_prediction(small_cpu, time_coefficients):
    record, _ = inspect(small_cpu, time_coefficients, Calls(dense(), settings(16, requires_grad=True), 1, (1,)))
    assert "the input requires a gradient" in record.outside


class Transposing(nn.Module):
    """Takes the batch first and hands it to a recurrent layer that takes time first."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(12, 8)

    def forward(self, x):
        return self.rnn(x.transpose(0, 1))[0]


class KeptMatrix(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.matrix = nn.Linear(12, 4), torch.eye(9)

    def forward(self, x):
        return torch.tanh(self.matrix @ self.layer(x))


def meta(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


@pytest.mark.parametrize(
    ("make", "inputs", "observations"),
    [
        (dense, (meta(7, 12),), 7),
        (Transposing, (meta(7, 5, 12),), 7),
        (lambda: nn.LSTM(12, 8), (meta(7, 5, 12),), 5),
        (lambda: nn.LSTM(12, 8, batch_first=True), (meta(7, 5, 12),), 7),
        (lambda: nn.GRU(12, 8), (meta(7, 12),), None),
        (lambda: nn.Embedding(9, 3), (meta(7, dtype=torch.int64),), 7),
        (KeptMatrix, (meta(9, 12),), None),
        (lambda: nn.Bilinear(12, 12, 3), (meta(7, 12), meta(7, 12)), 7),
        (lambda: nn.Conv2d(3, 4, 3), (meta(7, 3, 8, 8),), 7),
    ],
)
def test_a_batch_is_the_observations_or_not_known(make, inputs, observations):
    module, given = make(), StepSettings(inputs, {})
    batch = batch_of(module, given, count(module, given))
    assert batch.observations == observations
    assert batch.first_dimension == inputs[0].shape[0]
