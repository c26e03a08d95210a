"""What cannot be inspected is refused with one line that says why."""

from __future__ import annotations

import pytest
import torch
from architectures import Convolutional, LanguageModel, mlp
from torch import nn

import sizer
from sizer.base.errors import UsageError


def half_moved():
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].to("meta")
    return module


class Quantized(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.register_buffer("weight", torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8))

    def forward(self, x):
        return self.layer(x)


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize(
    ("make", "example", "expected"),
    [
        (nn.ReLU, 4, "no parameters"),
        (lambda: nn.LazyLinear(3), 4, "run it on a batch"),
        (half_moved, 4, "several devices"),
        (lambda: torch.jit.script(nn.Linear(3, 3)), 4, "scripted"),
        (Quantized, 4, "quantised"),
        (lambda: nn.Linear(3, 3).requires_grad_(False), 4, "nothing would train"),
        (Convolutional, 4, "give example_input"),
        (lambda: mlp(4, 5, 2), torch.empty(8, 6), r"layer '0' \(Linear\) expected a last dimension of 4.*\(8, 6\)"),
        (Convolutional, torch.empty(2, 4, 16, 16), r"layer '0' \(Conv2d\) expected 3 channels"),
        (Convolutional, torch.empty(2, 3, 1, 1), r"layer '4' \(Conv2d\)|layer '3'"),
        (LanguageModel, torch.empty(2, 9), r"layer 'embedding' \(Embedding\) expected whole numbers"),
        (lambda: mlp(4, 5, 2), "text", "expected a tensor"),
        (lambda: mlp(4, 5, 2), 0, "batch_size is 0"),
        (lambda: mlp(4, 5, 2), torch.empty(0, 4), "an empty batch"),
        (lambda: mlp(4, 5, 2), torch.empty(2, 4, dtype=torch.int64), r"layer '0'.*product of float32 and int64"),
        (lambda: mlp(4, 5, 2), torch.empty(2, 4, dtype=torch.float64), r"layer '0'.*product of float32 and float64"),
        (lambda: nn.Linear(3, 3, dtype=torch.complex64), 4, "parameters of type complex64"),
        (lambda: nn.Bilinear(2, 3, 4), torch.empty(2, 2), r"Bilinear takes \(input1.*given 1 input: missing"),
        (lambda: nn.Linear(3, 3), {"y": torch.empty(2, 3)}, r"Linear takes \(input.*given y: "),
    ],
)
def test_refusals_are_one_line(make, example, expected, capfd):
    with pytest.raises(UsageError, match=expected) as raised:
        sizer.inspect(make(), example)
    assert "\n" not in str(raised.value)
    assert capfd.readouterr().err == ""


def test_data_parallel_is_unwrapped_and_said():
    record = sizer.inspect(nn.DataParallel(mlp(4, 5, 2)), 8)
    assert record.widths == (4, 5, 2)
    assert any("DataParallel" in note for note in record.notes)


def test_a_module_without_linear_layers_has_no_prediction():
    record = sizer.inspect(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), torch.empty(2, 3, 8, 8))
    assert record.time_per_step_s is record.energy_per_step_j is None
    assert record.outside.startswith("outside what was calibrated")
    assert record.widths is None


def test_an_unknown_loss_is_refused():
    with pytest.raises(UsageError, match="loss is 'hinge'"):
        sizer.inspect(mlp(4, 5, 2), 8, loss="hinge")
