"""Calibration without a quiet machine: plans, files, fits and their intervals on made-up measurements."""

from __future__ import annotations

import datetime
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.resources import files
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from study import KIB, MIB

from sizer.base.errors import MeasurementError, UsageError
from sizer.calibration import plan as planning
from sizer.calibration import validity
from sizer.calibration.cache_probe import AccessTime, effective_last_level_bytes
from sizer.calibration.fit import conformal_interval, design, fit, solve
from sizer.calibration.measurements import END, Case, Timing, appended, create, read_measurements
from sizer.calibration.validity import calibration_of, default_threads, identity, profile_name
from sizer.method.hardware import Device, Level, device_to_dict
from sizer.method.placement import Hierarchy
from sizer.method.training_step import Training

NOW = datetime.datetime.now(datetime.timezone.utc)
MACHINE = Hierarchy(("L1", "L2", "L3", "RAM"), (32 * KIB, MIB, 16 * MIB, 16 * 2**30), (2, 2, 1, 1))
TRUE_TERMS = {
    "pass": 1e-4,
    "layer": 4e-5,
    "operation": 3e-11,
    "traffic.L2": 2e-5,
    "traffic.L3": 6e-5,
    "traffic.RAM": 2e-4,
    "addition": 5e-5,
}


@pytest.fixture(scope="module")
def cases():
    return planning.draw(150, seed=7)


def predicted(row, terms):
    return sum(value * row[name] for name, value in terms.items())


def test_a_fit_predicts_networks_it_never_saw(cases):
    """5 % noise on known coefficients: predictions of new networks are off by less than the noise."""
    row = design(cases, Training(), MACHINE)
    truth = predicted(row, TRUE_TERMS)
    noisy = truth * np.exp(np.random.default_rng(1).normal(0, 0.05, len(cases)))
    found = fit(row, noisy)
    fresh = design(planning.draw(100, seed=8), Training(), MACHINE)
    ratios = predicted(fresh, found.terms) / predicted(fresh, TRUE_TERMS)
    assert np.mean(np.abs(ratios - 1)) < 0.03
    assert "addition" in found.terms
    assert 0.03 < found.mean_error < 0.06


def test_a_term_that_explains_nothing_stays_out(cases):
    row = design(cases, Training(), MACHINE)
    terms = {name: value for name, value in TRUE_TERMS.items() if name != "addition"}
    found = fit(row, predicted(row, terms) * np.exp(np.random.default_rng(2).normal(0, 0.05, len(cases))))
    assert "unit" not in found.terms
    assert all(value > 0 for value in found.terms.values())


def test_costs_do_not_fall_with_the_distance_of_a_level(cases):
    """A machine whose noise would have it so: RAM cheaper than L2, an access to L1 dearer than to any other level."""
    row = design(cases, Training(), MACHINE)
    wrong = {**TRUE_TERMS, "traffic.RAM": 1e-6, "access.L1": 3e-5}
    terms = fit(row, predicted(row, wrong) * np.exp(np.random.default_rng(4).normal(0, 0.03, len(cases)))).terms
    for kind in ("access", "traffic", "optimizer"):
        costs = [terms.get(f"{kind}.{level}", 0.0) for level in MACHINE.names]
        assert costs == sorted(costs), kind


def test_wider_is_never_cheaper(cases):
    """Where a set outgrows a cache nothing falls; but for widths that are no multiple of 4, which cost more."""
    row = design(cases, Training(), MACHINE)
    terms = fit(row, predicted(row, TRUE_TERMS) * np.exp(np.random.default_rng(5).normal(0, 0.05, len(cases)))).terms
    terms = {name: value for name, value in terms.items() if name != "unaligned"}
    for input_dim, batch_size in ((784, 256), (16, 64), (64, 1024)):
        widths = [Case("rectangle", input_dim, (width, width, width, 1), batch_size) for width in range(4, 900, 4)]
        costs = predicted(design(widths, Training(), MACHINE), terms)
        assert np.all(np.diff(costs) >= -1e-12 * costs[1:])


def test_the_solution_is_that_of_an_independent_optimiser(cases):
    from scipy.optimize import minimize

    row = design(cases, Training(), MACHINE)
    names = ["pass", "layer", "operation"]
    matrix = np.column_stack([row[name] for name in names])
    measured = predicted(row, TRUE_TERMS)

    def loss(logs):
        return float(np.sum(np.log(matrix @ np.exp(logs) / measured) ** 2))

    ours = loss(np.log(np.maximum(solve(matrix, measured), 1e-300)))
    other = minimize(loss, np.log([1e-4, 4e-5, 3e-11]), method="Nelder-Mead", options={"maxiter": 4000}).fun
    assert ours <= other * (1 + 1e-6)


def test_the_interval_covers_nine_of_ten_new_networks():
    random = np.random.default_rng(3)
    covered = []
    for _ in range(200):
        low, high = conformal_interval(np.exp(random.standard_t(4, 120) * 0.05))
        factors = np.exp(-random.standard_t(4, 50) * 0.05)
        covered.append(np.mean((factors >= low) & (factors <= high)))
    assert 0.89 <= np.mean(covered) <= 0.93


def test_plans_are_the_same_for_a_seed_and_cover_the_range():
    assert planning.draw(50, seed=1) == planning.draw(50, seed=1) != planning.draw(50, seed=2)
    drawn = planning.draw(400, seed=1)
    assert {case.shape for case in drawn} >= set(planning.SHAPES)
    assert {len(case.widths) for case in drawn} == set(range(2, 21))
    assert all(32 <= case.batch_size <= 1024 and 2 <= case.input_dim <= 784 for case in drawn)


def test_a_plan_keeps_to_its_budget():
    speed = planning.Speed(layer_s=6e-5, operation_s=2e-11)
    for budget_s in (15.0, 60.0, 300.0):
        plan = planning.plan(budget_s, 3, speed)
        assert sum(speed.run_s(case) for case in plan) <= budget_s / 3
        assert all(speed.run_s(case) <= budget_s / 3 / 40 for case in plan), "no network eats the budget of others"
        assert len(plan) > 20


def test_a_plan_has_activations_that_no_small_cache_holds():
    sizes = [4 * case.batch_size * max(case.widths) for case in planning.plan(60.0, 8, planning.Speed(2e-5, 4e-12))]
    assert sum(size > 28 * 2**20 for size in sizes) >= 2


def write_log(path, timings=3):
    plan = tuple(planning.draw(2, seed=1))
    log = create(path, {"dtype": "float32"}, plan)
    for index in range(timings):
        log.append(Timing(index % 2, index // 2, 1e-3 + index, 10, 0.0)._asdict())
    log.close()
    return plan


def test_measurements_read_back_as_written(tmp_path):
    path = tmp_path / "m.jsonl"
    plan = write_log(path)
    found = read_measurements(path)
    assert found.plan == plan
    assert [timing.step_s for timing in found.timings] == [1e-3, 1.001, 2.001]
    assert not found.finished
    log = appended(path)
    log.append(END)
    log.close()
    assert read_measurements(path).finished


@given(cut=st.integers(0, 10_000))
def test_a_file_cut_anywhere_loses_at_most_one_timing(cut, tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / "m.jsonl"
    write_log(path)
    whole = path.read_bytes()
    header = whole.index(b"\n") + 1
    cut = header + cut % (len(whole) - header + 1)
    path.write_bytes(whole[:cut])
    complete = whole[header:cut].count(b"\n")
    assert complete <= len(read_measurements(path).timings) <= complete + 1
    log = appended(path)
    log.append(Timing(1, 5, 9.0, 1, None)._asdict())
    log.close()
    assert read_measurements(path).timings[-1].step_s == 9.0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no measurement file"),
        (b"\x00\xff" * 50, "no measurement file"),
        (b'{"format": "sizer.measurements/9"}\n', "this version reads"),
        (b'{"format": "sizer.measurements/1"}\n', "damaged"),
        (b'{"format": "sizer.measurements/1", "settings": {}, "plan": []}\n{"other": 1}\n', "damaged"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path, content, said):
    path = tmp_path / "m.jsonl"
    path.write_bytes(content)
    with pytest.raises(MeasurementError, match=said):
        read_measurements(path)


def test_the_probe_finds_the_edge_of_a_made_up_cache():
    """5 ns while the table fits 6 MiB, then misses at 25 ns in proportion."""
    times = [
        AccessTime(size, 5e-9 + 20e-9 * max(0.0, 1 - 6 * MIB / size))
        for size in (round(64 * KIB * 2 ** (step / 2)) for step in range(23))
    ]
    found = effective_last_level_bytes(times, MIB, 260 * MIB)
    assert 4 * MIB <= found <= 13 * MIB
    assert effective_last_level_bytes(times, MIB, 3 * MIB) == 3 * MIB
    flat = [replace_time(time) for time in times]
    assert effective_last_level_bytes(flat, MIB, 260 * MIB) is None


def replace_time(time):
    return time._replace(access_s=5e-9)


SCRIPT = """
import sys
from sizer.calibration import calibration, record
calibration.MIN_NETWORKS = 8
record.USELESS = float("inf")  # (how busy the machine is now is no matter here)
record = calibration.calibrate(calibration.Settings(budget_s=12.0))
print(record.networks)
"""


@pytest.mark.slow
def test_a_killed_calibration_resumes_and_its_profile_is_used(isolated_user, small_cpu):
    measurements = isolated_user / "data" / "sizer" / "measurements" / "cpu.jsonl"
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", SCRIPT])
        _wait_for(lambda: measurements.exists() and measurements.read_bytes().count(b"\n") > 4, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = read_measurements(measurements)
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    after = read_measurements(measurements)
    assert after.timings[: len(before.timings)] == before.timings
    assert after.finished

    import sizer

    record = sizer.recommend(input_dim=20, depth=4)
    assert (record.coefficients.source, record.coefficients.label) == ("calibrated", "calibrated")
    assert record.best.time_per_datum_s > 0


def _wait_for(condition, process):
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_two_calibrations_at_once_are_refused(isolated_user):
    from sizer.calibration.calibration import Settings, calibrate
    from sizer.calibration.session import only_one

    with only_one(), pytest.raises(MeasurementError, match="another calibration is running"):
        calibrate(Settings(budget_s=15.0))


def test_bad_settings_say_what_is_needed():
    from sizer.calibration.calibration import Settings, calibrate

    with pytest.raises(UsageError, match="give 12 s or more"):
        calibrate(Settings(budget_s=1.0))
    with pytest.raises(UsageError, match="give 1 to"):
        calibrate(Settings(threads=4096))
    with pytest.raises(UsageError, match="no device 'cuda:7'"):
        calibrate(Settings(device="cuda:7"))


def profile_for(device, **changes):
    from sizer.calibration.fit import Fit
    from sizer.calibration.measurements import Measurements
    from sizer.calibration.profile_record import profile_record
    from sizer.calibration.record import Calibration
    from sizer.profiles import save

    """Keep a calibration; changes are to its identity, but those of its date, kernel and reference steps."""
    reference_s = changes.pop("reference_s", None)
    kernel = changes.pop("kernel", None)
    now = identity(device, default_threads(device)) | changes
    settings = {
        "identity": now,
        "device": device_to_dict(device),
        "kernel": kernel,
        "date": changes.pop("date", "2126-01-01T00:00:00+00:00"),
        "dtype": "float32",
        "optimizer": "adam",
    }
    found = Fit({"pass": 1e-4, "operation": 1e-11}, np.array([1.0, 1.1, 0.9]), (0.9, 1.1))
    record = Calibration(profile_name(device), device, {"time": found}, 0.01, 3, None, reference_s=reference_s)
    save(profile_record(Measurements(settings, (), ()), record))


def test_a_calibration_is_used_only_where_it_was_made(small_cpu):
    assert calibration_of(small_cpu).profile is None
    profile_for(small_cpu)
    assert calibration_of(small_cpu).profile.name == profile_name(small_cpu)
    for changes, said in (
        ({"threads": 64}, "threads 64"),
        ({"torch": "1.0"}, "torch 1.0"),
        ({"units": 99}, "other hardware"),
    ):
        profile_for(small_cpu, **changes)
        found = calibration_of(small_cpu)
        assert found.profile is None
        assert said in found.not_used
    profile_for(small_cpu)
    fewer = replace(small_cpu, levels=small_cpu.levels[1:])
    assert calibration_of(fewer).profile is None


def test_an_old_calibration_is_used_and_said_to_be_unchecked_and_nothing_trains(small_cpu, monkeypatch):
    """The hook asks in a user's process: random numbers, and so the training, must stay what they were."""
    import torch

    from sizer.calibration import timed_step

    def trained(*arguments):
        raise AssertionError("a step was timed")

    monkeypatch.setattr(timed_step, "make_step", trained)
    profile_for(small_cpu, date=(NOW - datetime.timedelta(days=60)).isoformat())
    before = torch.get_rng_state()
    found = calibration_of(small_cpu)
    assert found.profile is not None
    assert "60 days old, unchecked" in found.remark
    assert torch.equal(before, torch.get_rng_state())
    profile_for(small_cpu, date=(NOW - datetime.timedelta(days=20)).isoformat())
    assert calibration_of(small_cpu).remark is None
    profile_for(small_cpu, date="2026-11-01 soon")
    assert "does not say when" in calibration_of(small_cpu).not_used


def gpu(**facts) -> Device:
    sourced = {name: {"value": value, "source": "a test"} for name, value in facts.items()}
    levels = (Level("L1", 128 << 10, 132), Level("L2", 50 << 20, 1), Level("RAM", 80 << 30, 1))
    return Device("cuda:0", "cuda", "NVIDIA H100", 132, levels, facts=sourced)


def test_a_gpu_s_calibration_is_found_with_any_number_of_threads(small_cpu, monkeypatch):
    monkeypatch.setattr(validity, "detected", lambda name: small_cpu)
    device = gpu(power_limit_w=700.0)
    profile_for(device)
    assert {"threads": 2}.keys().isdisjoint(identity(device, 2))
    for threads in (None, 1, 2, 132):
        assert calibration_of(device, threads).profile is not None
    monkeypatch.setitem(sys.modules, "torch", None)  # not loaded: what it will start with counts
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert calibration_of(device).profile is not None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"env": ("CUDA_LAUNCH_BLOCKING", "1")}, "CUDA_LAUNCH_BLOCKING None, and this is 1"),
        ({"env": ("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "1")}, "matmul precision of highest, and this is high"),
        ({"power": 350.0}, "a power limit in W of 700.0, and this is 350.0"),
        ({"cpu": "Another CPU"}, "the CPU Test CPU, and this is Another CPU"),
    ],
)
def test_a_gpu_s_calibration_holds_for_what_launches_depend_on(small_cpu, monkeypatch, change, said):
    monkeypatch.setattr(validity, "detected", lambda name: replace(small_cpu, name="Test CPU"))
    monkeypatch.delitem(sys.modules, "torch")
    profile_for(gpu(power_limit_w=700.0))
    if "env" in change:
        monkeypatch.setenv(*change["env"])
    monkeypatch.setattr(validity, "detected", lambda name: replace(small_cpu, name=change.get("cpu", "Test CPU")))
    found = calibration_of(gpu(power_limit_w=change.get("power", 700.0)))
    assert found.profile is None
    assert said in found.not_used


def test_a_calibration_of_another_card_of_the_kind_is_used_and_said(small_cpu, monkeypatch):
    """A home may be shared by nodes: what it holds is another card's, and the user is told so."""
    monkeypatch.setattr(validity, "detected", lambda name: small_cpu)
    profile_for(gpu(uuid="GPU-aa11"))
    assert calibration_of(gpu(uuid="aa11")).remark is None
    assert calibration_of(gpu()).remark is None
    found = calibration_of(gpu(uuid="GPU-bb22"))
    assert found.profile is not None
    assert found.remark == (
        "the calibration calibrated-cuda-0 was made on another GPU of this kind (GPU-aa11); `sizer calibrate` renews it"
    )
    profile_for(gpu(uuid="GPU-aa11"), date=(NOW - datetime.timedelta(days=60)).isoformat())
    assert "is 60 days old, unchecked and was made on another GPU" in calibration_of(gpu(uuid="GPU-bb22")).remark


def test_torchs_other_setting_of_the_precision_of_products_is_read(monkeypatch):
    """After the newer of torch's two settings was used it raises where it is asked for the older."""

    def mixed() -> str:
        raise RuntimeError("you have used mix of the legacy and new APIs")

    products = SimpleNamespace(fp32_precision="tf32")
    backends = SimpleNamespace(cuda=SimpleNamespace(matmul=products))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(get_float32_matmul_precision=mixed, backends=backends))
    assert validity._matmul_precision() == "high"
    products.fp32_precision = "ieee"
    assert validity._matmul_precision() == "highest"
    products.fp32_precision = "tf32"
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert validity._matmul_precision() == "highest"


def test_measuring_leaves_nothing_in_a_process_that_goes_on():
    """Somebody's notebook trains after `sizer.calibrate()`: its random numbers are what they were, and its memory."""
    import torch

    from sizer.calibration import timed_step
    from sizer.calibration.session import Settings, open_session
    from sizer.method.training_step import Training

    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with open_session(Settings(threads=1, meter="none"), None, 1.0):
        timed_step.time_run(timed_step.Case("rectangle", 4, (4, 1), 8), Training(), 0.001)
        assert timed_step._pool.cache_info().currsize == 1
        assert not torch.equal(before, torch.get_rng_state())
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert timed_step._pool.cache_info().currsize == 0


def test_the_driver_s_version_is_read_from_its_module(tmp_path):
    from sizer.detection.captured_tree import Tree

    folder = tmp_path / "proc" / "driver" / "nvidia"
    folder.mkdir(parents=True)
    (folder / "version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version: 12.2\n"
    )
    assert validity._driver_version(Tree(tmp_path)) == "535.104.05"
    assert validity._driver_version(Tree(tmp_path / "none")) is None


def test_a_profile_keeps_effective_capacities(small_cpu):
    from sizer.calibration.validity import with_effective_levels

    shrunk = replace(
        small_cpu,
        levels=tuple(
            replace(level, effective_bytes=5 * MIB) if level.name == "L3" else level for level in small_cpu.levels
        ),
    )
    profile_for(shrunk)
    effective = with_effective_levels(small_cpu, calibration_of(small_cpu).profile)
    assert [level.effective_bytes for level in effective.levels] == [None, None, 5 * MIB, None]


def test_a_calibration_keeps_to_its_schema_and_shows_itself(small_cpu):
    import jsonschema
    from rich.console import Console

    from sizer.calibration.fit import Fit
    from sizer.calibration.record import Calibration

    found = Fit({"pass": 1e-4, "traffic.L2": 1e-5}, np.array([1.0, 1.1, 0.9]), (0.9, 1.1))
    record = Calibration("calibrated-cpu", small_cpu, {"time": found}, 0.2, 3, None)
    schema = json.loads((files("sizer.schemas") / "calibration-1.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(record.to_json()), schema)
    console = Console(record=True, width=80)
    console.print(record)
    text = " ".join(console.export_text().split())
    assert "cross-validated error 6.7% mean" in text
    assert "this machine is noisy: repeated timings of a network differ by 20%" in text


def test_a_real_run_times_a_real_step():
    from sizer.calibration.session import using_threads
    from sizer.calibration.timed_step import time_run

    with using_threads(1):  # (two wait for each other while another process has one of the processors)
        small = time_run(Case("rectangle", 4, (4, 1), 32), Training(), 0.05)
        large = time_run(Case("rectangle", 256, (1024, 1024, 1), 1024), Training(), 0.05)
    assert 0 < small.step_s < large.step_s
    assert small.steps >= large.steps >= planning.MIN_STEPS
    assert small.disturbed is None or math.isfinite(small.disturbed)
    assert (small.energy_j, small.window_unix_s, small.problem) == (None, None, None)
    assert os.path.exists("/proc/stat") == (small.disturbed is not None)  # noqa: PTH110
    assert (small.kernel is None) == (small.disturbed is None)
    assert json.dumps(Case("rectangle", 4, (4, 1), 32)._asdict())
