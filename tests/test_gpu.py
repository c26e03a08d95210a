"""On a real CUDA device: detection, timing, the NVML meter, the hook, inspection. `benchmarks/gpu_run.sh` runs this."""

from __future__ import annotations

import statistics
import time

import pytest
import torch
from torch import nn

import sizer
from sizer.base.errors import MeterError
from sizer.calibration.measurements import Case
from sizer.calibration.timed_step import make_step, time_run
from sizer.meters.nvml import NvmlMeter
from sizer.method.training_step import Training

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

LARGE = Case("rectangle", 784, (2048, 2048, 2048, 10), 1024)
SMALL = Case("rectangle", 8, (*[8] * 7, 1), 32)
TRAINING = Training()


@pytest.fixture(scope="module")
def device():
    return sizer.detect(fresh=True).device("cuda:0")


@pytest.fixture
def meter(device):
    uuid = device.facts.get("uuid", {}).get("value")
    try:
        found = NvmlMeter("cuda:0", uuid)
    except MeterError as error:
        pytest.skip(str(error))
    yield found
    found.close()


def test_detection_agrees_with_torch(device):
    properties = torch.cuda.get_device_properties(0)
    levels = {level.name: level for level in device.levels}
    assert device.kind == "cuda"
    assert device.name == properties.name
    assert device.units == properties.multi_processor_count == levels["L1"].instances
    assert levels["L2"].capacity_bytes == properties.L2_cache_size
    assert levels["RAM"].capacity_bytes == pytest.approx(properties.total_memory, rel=0.05)
    assert levels["L1"].capacity_bytes >= 64 * 1024


def test_the_profile_of_this_gpu_is_found_by_its_name(device):
    if "H200" not in (device.name or ""):
        pytest.skip(f"{device.name} is no H200")
    assert sizer.profiles.matching(device.name, "cuda").name == "nvidia-h200"


def test_a_timed_step_is_what_a_long_training_takes_a_step():
    """Against torch's own events over two hundred steps, which wait once."""
    for case in (SMALL, LARGE):
        step = make_step(case, TRAINING, "cuda")
        for _ in range(20):
            step()
        torch.cuda.synchronize()
        timed = min(time_run(case, TRAINING, 0.2, "cuda").step_s for _ in range(3))
        assert timed == pytest.approx(_by_events(step, 200), rel=0.15)


def _by_events(step, steps):
    """Seconds a step, the least of five series."""
    found = []
    for _ in range(5):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(steps):
            step()
        end.record()
        end.synchronize()
        found.append(start.elapsed_time(end) / 1000 / steps)
    return min(found)


def test_waiting_after_every_step_would_count_the_wait():
    """Why steps are timed in batches: the same steps one by one take at least as long."""
    step = make_step(SMALL, TRAINING, "cuda")
    single = []
    for _ in range(300):
        torch.cuda.synchronize()
        began = time.perf_counter()
        step()
        torch.cuda.synchronize()
        single.append(time.perf_counter() - began)
    assert time_run(SMALL, TRAINING, 0.2, "cuda").step_s <= 1.02 * statistics.median(single)


def test_more_work_takes_longer():
    assert time_run(SMALL, TRAINING, 0.1, "cuda").step_s < time_run(LARGE, TRAINING, 0.1, "cuda").step_s


def test_nvml_meters_work_and_rest(meter):
    """Work draws more than rest does, and less than any board can."""
    rest = _power(meter, lambda: time.sleep(0.05))
    step = make_step(LARGE, TRAINING, "cuda")
    busy = _power(meter, step)
    assert 5 < rest < busy < 3000


def _power(meter, action):
    torch.cuda.synchronize()
    start = meter.snapshot()
    deadline = time.perf_counter() + 1.2 * meter.minimum_window_s + 1.0
    while time.perf_counter() < deadline:
        action()
    torch.cuda.synchronize()
    energy = meter.energy(start, meter.snapshot())
    assert energy.joules is not None, energy.warnings
    return energy.power_w


def test_a_run_under_the_meter_has_its_joules(meter):
    run = time_run(LARGE, TRAINING, 0.1, "cuda:0", meter)
    start, end = run.window_unix_s
    assert run.energy_j > 0
    assert end - start >= 0.99 * meter.minimum_window_s  # (another clock)
    assert run.steps * run.step_s == pytest.approx(end - start, rel=0.25)


def _trained(watched):
    """Parameters after ten seeded steps on the GPU."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 4)).cuda()
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    features, targets = torch.randn(64, 32, device="cuda"), torch.randn(64, 4, device="cuda")
    if watched:
        sizer.advise(model, optimizer, quiet=True)
    for _ in range(10):
        optimizer.zero_grad(set_to_none=True)
        nn.functional.mse_loss(model(features), targets).backward()
        optimizer.step()
    return [parameter.detach().cpu() for parameter in model.parameters()]


def test_the_hook_changes_no_bit_of_a_training(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    plain, watched = _trained(False), _trained(True)
    assert all(torch.equal(one, other) for one, other in zip(plain, watched, strict=True))


def test_counts_of_a_module_do_not_depend_on_where_it_is():
    """The same module, on the GPU and on the CPU, is counted alike, and nothing of it is run."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 30 * 30, 10))
    on_cpu = sizer.inspect(model, torch.zeros(16, 3, 32, 32), device="nvidia-t4").to_dict()
    before = torch.cuda.memory_allocated()
    on_gpu = sizer.inspect(model.cuda(), torch.zeros(16, 3, 32, 32, device="cuda"), device="nvidia-t4").to_dict()
    assert torch.cuda.memory_allocated() - before < 2**22
    for name in ("flops", "operations", "working_sets", "num_parameters", "saved_activation_bytes"):
        assert on_gpu[name] == on_cpu[name]
