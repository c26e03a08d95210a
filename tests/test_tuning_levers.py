"""Levers as they are put in place in a process that trains: what each changes, and what it leaves as it was."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset

from sizer.tuning.levers.data_in_memory import _rows_of_batches
from sizer.tuning.machine_speed import Speed, another_speed, beside_others
from sizer.tuning.operations import OperationCount

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
    assert 0 <= count.subnormal_cost < 1


def test_what_subnormal_numbers_cost_is_how_much_longer_an_operation_takes_with_them(monkeypatch):
    import torch

    from sizer.tuning import operations

    now = [0.0]
    monkeypatch.setattr(operations.time, "perf_counter", lambda: now[0])

    def root(values):
        """Ten times as long where it is given numbers that are not taken for zero."""
        result = values
        now[0] += 10.0 if bool(result.any()) else 1.0
        return result

    state, threads = torch.get_rng_state(), torch.get_num_threads()
    assert operations._saved_share(root, (torch.full((64,), 1e-39),), {}) == pytest.approx(0.9)
    assert operations._saved_share(lambda values: root(values * 0.5), (torch.full((64,), 2e-38),), {}) == pytest.approx(
        0.9
    )
    assert operations._saved_share(root, (torch.full((64,), 1.0),), {}) == 0.0
    assert operations._saved_share(lambda values: values.no_such_thing, (torch.ones(2),), {}) == 0.0
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert (torch.full((1,), 1e-39) * 0.5).item() > 0  # (the mode is as it was)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are looked for in /proc")
def test_threads_that_only_wait_are_none_that_work():
    from sizer.tuning.usage import busy_threads_of_children

    text = """
import threading, time
done = threading.Barrier(3)
def work():
    until = time.thread_time() + 0.2
    while time.thread_time() < until: pass
    done.wait()
    time.sleep(9)
for target in (work, work, lambda: time.sleep(9)):
    threading.Thread(target=target, daemon=True).start()
done.wait()
print(flush=True)
time.sleep(9)
"""
    with subprocess.Popen([sys.executable, "-S", "-c", text], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        found = busy_threads_of_children()
        child.kill()
    assert found == 2


def test_runs_at_another_speed_are_told_and_those_beside_others_unless_they_are_many():
    usual, slow = Speed({"near": 1.0, "ram": 2.0}), Speed({"near": 1.3, "ram": 2.0})
    assert another_speed([usual, usual, slow, usual]) == [False, False, True, False]
    assert another_speed([usual, Speed({"near": 1.05, "ram": 2.5})]) == [False, False]  # (as much as they scatter)
    assert another_speed([]) == beside_others([]) == []
    assert beside_others([0.0, 0.5, 0.0, None]) == [False, True, False, False]
    assert beside_others([0.0, 0.5, 0.5, 0.5, 0.5]) == [False] * 5


@pytest.mark.parametrize(
    "facts",
    [{}, {"shuffle": True}, {"shuffle": True, "drop_last": True}, {"sampler": SubsetRandomSampler(range(3, 13))}],
)
def test_rows_of_a_data_set_in_memory_are_those_of_the_loaders_own_sampler(facts):
    loader = DataLoader(TensorDataset(torch.arange(23)), batch_size=4, **facts)
    torch.manual_seed(3)
    own = list(loader.batch_sampler)
    torch.manual_seed(3)
    assert [rows.tolist() for rows in _rows_of_batches(loader)] == own
