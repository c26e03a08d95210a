"""Levers as they are put in place in a process that trains: what each changes, and what it leaves as it was."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from sizer.tuning.facts import OperationCount
from sizer.tuning.machine_speed import Speed, another_speed

#: Puts levers in place, trains two steps of a convolution, and tells what became of it.
TRAIN = """
import json, sys
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from sizer.tuning.levers.catalogue import put_in_place

changed = []
put_in_place([
    ("precision", {"autocast": "cpu"}),
    ("channels_last", {}),
    ("optimizer_form", {"form": "fused"}),
    ("batch_size", {"factor": 2}),
    ("loader", {"arguments": {"num_workers": 0}}),
    ("threads", {"threads": 1, "interop": 1}),
    ("denormals", {}),
], changed.append)
torch.set_num_threads(5)
seen = {}

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution, self.out = nn.Conv2d(3, 4, 3), nn.Linear(4, 1)

    def forward(self, x):
        seen["last"] = x.is_contiguous(memory_format=torch.channels_last)
        y = self.convolution(x)
        seen["inside"] = str(y.dtype)
        return self.out(y.mean((2, 3)))

model = Model()
adam = torch.optim.AdamW(model.parameters(), lr=1e-3, foreach=True)
sgd = torch.optim.SGD(model.parameters(), lr=1e-3)
loader = DataLoader(TensorDataset(torch.randn(16, 3, 8, 8), torch.randn(16, 1)), 4, False, None, None, 2)
for x, y in loader:
    adam.zero_grad()
    output = model(x)
    nn.functional.mse_loss(output, y).backward()
    adam.step()
seen |= {
    "outside": str(output.dtype),
    "threads": torch.get_num_threads(),
    "fused": adam.param_groups[0]["fused"],
    "rates": [adam.param_groups[0]["lr"], sgd.param_groups[0]["lr"]],
    "batch": len(x),
    "workers": loader.num_workers,
    "weights": model.convolution.weight.is_contiguous(memory_format=torch.channels_last),
    "changed": changed,
}
print(json.dumps(seen))
"""


def test_levers_change_what_they_say_however_the_script_asked():
    done = subprocess.run([sys.executable, "-c", TRAIN], capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout)
    assert (seen["inside"], seen["outside"]) == ("torch.bfloat16", "torch.float32")
    assert seen["last"]
    assert seen["weights"]
    assert seen["fused"]
    assert seen["rates"] == [pytest.approx(1e-3 * 2**0.5), pytest.approx(2e-3)]
    assert (seen["batch"], seen["workers"], seen["threads"]) == (8, 0, 1)
    for told in ("autocast(bfloat16)", "channels_last", "AdamW(fused=True)", "SGD(fused=True)", "batch_size=8"):
        assert told in seen["changed"]


def test_operations_and_subnormal_numbers_are_counted(monkeypatch):
    import torch

    # (a test before this one may have compiled in this process)
    monkeypatch.setattr("sizer.script_runs.measuring.anything_compiled", lambda: False)
    values = torch.full((64,), 1e-39)
    count = OperationCount()
    assert count.start()
    try:
        _ = values * 0.5
        _ = torch.ones(8, 8) @ torch.ones(8, 8)
    finally:
        count.stop()
    assert count.operations >= 4
    assert 0 < count.subnormal < count.values
    assert 0 < count.pointwise_s < count.spent_s


def test_runs_beside_another_speed_are_told_apart_unless_they_are_many():
    usual, slow = Speed({"near": 1.0, "ram": 2.0}), Speed({"near": 1.3, "ram": 2.0})
    assert another_speed([usual, usual, slow, usual]) == [False, False, True, False]
    assert another_speed([usual, slow, slow, usual]) == [False, True, True, False]
    assert another_speed([usual, slow, slow, slow, slow]) == [True, False, False, False, False]
    assert another_speed([Speed({"near": speed}) for speed in (1.0, 1.3, 1.7, 2.2)]) == [False] * 4
    assert another_speed([]) == []
