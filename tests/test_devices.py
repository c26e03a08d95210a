"""Which device and which coefficients: own calibration, the profile of the name, else the nearest in kind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sizer import profiles
from sizer.base.errors import ProfileError, UsageError
from sizer.devices import STAND_INS, choose
from sizer.method.coefficients import OVERHEADS_S
from sizer.method.hardware import Device, Level, Machine


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
    assert "x86-vm-2cpu" in found.basis


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
