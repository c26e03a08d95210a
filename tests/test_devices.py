"""Which device and which coefficients: own calibration, the profile of the name, else the nearest in kind."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import sizer
from sizer import profiles
from sizer.base.errors import ProfileError, UsageError
from sizer.calibration import plan as planning
from sizer.calibration.fit import design, predict_terms
from sizer.calibration.validity import Found
from sizer.detection.captured_tree import Tree
from sizer.devices import STAND_INS, Features, Predicted, cheaper, choose, nearest_stand_in, tf32_allowed
from sizer.method.coefficients import OVERHEADS_S
from sizer.method.hardware import Device, Level, Machine
from sizer.method.placement import Hierarchy
from sizer.method.training_step import Training


@pytest.fixture
def machine_of(monkeypatch):
    """Make detection find these devices."""
    return lambda *found: monkeypatch.setattr("sizer.detection.detect.detect", lambda: Machine(found))


def gpu(name, units) -> Device:
    levels = (Level("L1", 128 << 10, units), Level("L2", 6 << 20, 1), Level("RAM", 24 << 30, 1))
    return Device("cuda:0", "cuda", name, units, levels)


def test_a_gpu_is_preferred_and_the_cpu_can_be_asked_for(machine_of, small_cpu):
    machine_of(small_cpu, gpu("NVIDIA H200", 132))
    assert choose(None).device.id == "cuda:0"
    assert choose("cuda").device.id == "cuda:0"
    assert choose("cpu").device.id == "cpu"
    with pytest.raises(UsageError, match="it has cpu, cuda:0"):
        choose("cuda:1")


def test_the_profile_of_the_name_gives_its_peaks(machine_of, small_cpu):
    machine_of(small_cpu, gpu("NVIDIA H200", 132))
    found = choose("cuda:0", "bfloat16").coefficients
    assert (found.profile, found.source, found.label, found.quantity) == ("nvidia-h200", "shipped", "estimated", "time")
    peak = profiles.load("nvidia-h200").peaks_flop_per_s["bfloat16"].value
    assert found.terms["operation"] == pytest.approx(2 / (0.5 * peak))


@pytest.mark.parametrize(("units", "nearest"), [(40, "nvidia-t4"), (60, "nvidia-l4"), (140, "nvidia-h100-sxm")])
def test_an_unknown_gpu_borrows_from_the_nearest_in_units(machine_of, small_cpu, units, nearest):
    machine_of(small_cpu, gpu("NVIDIA Something New", units))
    found = choose("cuda:0").coefficients
    assert f"borrowed from profile {nearest}" in found.basis
    assert (found.label, found.quantity) == ("estimated", "time")
    assert found.interval[1] / found.interval[0] >= 10


def test_an_unknown_cpu_borrows_time_and_never_the_studys_joules(machine_of, small_cpu):
    machine_of(small_cpu)
    found = choose(None).coefficients
    assert (found.source, found.label, found.quantity) == ("shipped", "estimated", "time")
    assert any(name in found.basis for name in STAND_INS["cpu"])


def test_a_kind_without_any_profile_has_no_coefficients(machine_of, small_cpu):
    machine_of(replace(small_cpu, kind="abacus"))
    assert choose(None).coefficients.source == "none"


def test_stand_ins_are_shipped_and_predict_time():
    for kind, names in STAND_INS.items():
        for name in names:
            profile = profiles.load(name)
            assert (profile.kind, profile.origin) == (kind, "shipped")
            assert choose(name).coefficients.quantity == "time"


def test_cpu_overheads_are_those_of_the_measured_profile():
    measured = profiles.load("x86-vm-2cpu").coefficients.terms
    assert OVERHEADS_S["cpu"]["step"] == pytest.approx(2 * measured["pass"], rel=0.02)
    assert OVERHEADS_S["cpu"]["layer"] == pytest.approx(measured["access.L1"], rel=0.02)


def test_published_coefficients_are_labelled_published():
    for name in ("butter-e-cpu", "butter-e-gpu"):
        found = choose(name).coefficients
        assert (found.source, found.label, found.quantity) == ("published", "published", "energy")


def test_a_calibration_holds_for_its_number_of_threads(machine_of, small_cpu):
    from test_calibrating import profile_for

    machine_of(small_cpu)
    profile_for(small_cpu, threads=1)
    assert choose("cpu", threads=1).coefficients.label == "calibrated"
    other = choose("cpu", threads=2)
    assert other.coefficients.label == "estimated"
    assert any("made with threads 1, and this is 2" in warning for warning in other.device.warnings)


def test_a_calibrated_device_has_its_effective_capacities(machine_of, small_cpu):
    from test_calibrating import profile_for

    levels = (*small_cpu.levels[:2], replace(small_cpu.levels[2], effective_bytes=5 << 20), small_cpu.levels[3])
    profile_for(replace(small_cpu, levels=levels))
    machine_of(small_cpu)
    assert [level.effective_bytes for level in choose("cpu").device.levels] == [None, None, 5 << 20, None]


def test_an_unknown_profile_is_named():
    with pytest.raises(ProfileError, match="nvidia-h200"):
        choose("nvidia-h2000")


def test_each_measured_cpu_left_out_is_inside_the_interval_of_its_stand_in():
    """The interval that is claimed holds nine of ten of its networks."""
    cases = planning.draw(150, 2**31)
    for name in STAND_INS["cpu"]:
        profile = profiles.load(name)
        found = nearest_stand_in(profile.device, Features.of_profile(profile), without=name)
        row = design(cases, Training(), Hierarchy.of(profile.device))
        times = [predict_terms(row, each.by_quantity["time"].terms) for each in (profile, found)]
        factors = times[0] / times[1]
        assert np.mean((factors >= 0.25) & (factors <= 4.0)) >= 0.9, (name, found.name)


def test_a_stand_in_is_of_the_same_generation_then_of_like_caches_and_cores(small_cpu):
    zen4, rapids, skylake = (profiles.load(name) for name in sorted(STAND_INS["cpu"]))
    assert nearest_stand_in(rapids.device, Features.of_profile(rapids), without=rapids.name) == zen4
    assert nearest_stand_in(zen4.device, Features.of_profile(zen4), without=zen4.name) == rapids
    assert nearest_stand_in(rapids.device, Features("Intel", 512, False)).name == skylake.name
    assert nearest_stand_in(rapids.device, Features("Intel", 512, True)) == rapids
    assert nearest_stand_in(small_cpu, Features("AMD")) == zen4


def test_features_of_a_captured_processor(tmp_path, small_cpu):
    (tmp_path / "proc").mkdir()
    cpuinfo = tmp_path / "proc" / "cpuinfo"
    device = replace(small_cpu, name="AMD EPYC 7763 64-Core Processor")
    cpuinfo.write_text("processor : 0\nflags : fpu sse2 avx avx2\n")
    assert Features.of_device(device, Tree(tmp_path)) == Features("AMD", 256, False)
    cpuinfo.write_text("processor : 0\nflags : fpu sse2 avx2 avx512f avx512_bf16\n")
    assert Features.of_device(device, Tree(tmp_path)) == Features("AMD", 512, True)
    cpuinfo.write_text("processor : 0\nFeatures : fp asimd\n")
    assert Features.of_device(device, Tree(tmp_path)) == Features("AMD")


# The default: the cheaper one


def predicted(**seconds):
    """A cost by device."""
    return lambda one: Predicted(seconds[one.device.kind], f"{seconds[one.device.kind]} s")


@pytest.mark.parametrize(("on_cpu", "on_gpu", "taken"), [(2.0, 1.0, "cuda:0"), (1.0, 2.0, "cpu"), (1.0, 1.0, "cuda:0")])
def test_a_gpu_is_the_default_where_it_is_predicted_to_be_cheaper_and_both_are_said(
    machine_of, small_cpu, on_cpu, on_gpu, taken
):
    machine_of(small_cpu, gpu("NVIDIA H200", 132))
    found = cheaper(choose(None), predicted(cpu=on_cpu, cuda=on_gpu)).device
    assert found.id == taken
    assert f"{on_gpu} s on cuda:0 and {on_cpu} s on the CPU, so it is {taken}" in found.warnings[-1]


def test_without_a_gpu_there_is_nothing_to_compare(machine_of, small_cpu):
    machine_of(small_cpu)
    chosen = choose(None)
    assert cheaper(chosen, lambda one: pytest.fail("asked")) is chosen


def test_a_recommendation_is_for_the_cheaper_device(machine_of, small_cpu):
    """A sliver of a GPU that is launched as slowly as any is no match for a CPU; a whole one is, for large batches."""
    machine_of(small_cpu, gpu("NVIDIA H200", 132))
    small = sizer.recommend(input_dim=2, depth=2, batch_size=1, max_bytes=4096)
    large = sizer.recommend(input_dim=784, depth=6, batch_size=4096)
    assert (small.device.id, large.device.id) == ("cpu", "cuda:0")
    assert any("so it is cpu" in remark for remark in small.remarks())
    named = sizer.recommend(input_dim=2, depth=2, batch_size=1, max_bytes=4096, device="cuda:0")
    assert not any("no device was named" in remark for remark in named.remarks())


def test_an_inspection_is_for_the_cheaper_device(machine_of, small_cpu):
    machine_of(small_cpu, gpu("NVIDIA H200", 132))
    assert sizer.inspect("2-4-1", batch_size=1).device.id == "cpu"
    found = sizer.inspect("784-4096x3-10", batch_size=4096).device
    assert found.id == "cuda:0"
    assert "for a step of each on cuda:0" in found.warnings[-1]


# TF32


@pytest.mark.parametrize(
    ("environment", "precision", "dtype"),
    [
        ({}, "ieee", "float32"),
        ({}, "tf32", "tf32"),
        ({"NVIDIA_TF32_OVERRIDE": "0"}, "tf32", "float32"),
    ],
)
def test_float32_with_tf32_allowed_is_priced_as_tf32(machine_of, small_cpu, monkeypatch, environment, precision, dtype):
    machine_of(small_cpu, gpu("NVIDIA H200", 132))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    products = SimpleNamespace(fp32_precision=precision)
    torch = SimpleNamespace(backends=SimpleNamespace(cuda=SimpleNamespace(matmul=products)))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr("sizer.devices.calibration_of", lambda device, threads: Found())
    found = choose("cuda:0").coefficients
    peak = profiles.load("nvidia-h200").peaks_flop_per_s[dtype].value
    assert found.terms["operation"] == pytest.approx(2 / (0.5 * peak))
    assert f"({dtype})" in found.basis


def test_the_environment_says_it_before_torch_is_loaded(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert not tf32_allowed()
    monkeypatch.setenv("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "1")
    assert tf32_allowed()
    for word in ("0", "", "yes"):
        monkeypatch.setenv("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", word)
        assert not tf32_allowed()


def test_a_card_without_tf32_is_priced_as_float32(machine_of, small_cpu, monkeypatch):
    machine_of(small_cpu, gpu("Tesla T4", 40))
    monkeypatch.setattr("sizer.devices.tf32_allowed", lambda: True)
    assert "(float32)" in choose("cuda:0").coefficients.basis
