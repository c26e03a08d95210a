"""Calibrating under a meter: joules of metered rounds, logs that are read afterwards, stated power, the right GPU."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import replace

import pytest
from calibrating_fakes import make_quick
from meter_fakes import FakeNvml, FakeRapl, GpuIsLostError

from sizer import profiles
from sizer.base.errors import MeasurementError, MeterError, UsageError
from sizer.calibration import session
from sizer.calibration.calibration import Settings, calibrate, measurement_path, replay
from sizer.calibration.measurements import read_measurements
from sizer.calibration.rounds import METERED
from sizer.cli import run
from sizer.meters import nvml
from sizer.meters.choosing import MeterOptions
from sizer.meters.intervals import Windows
from sizer.meters.power_log import energy_between
from sizer.meters.wattmeter_csv import read_power_log


@pytest.fixture
def quick(small_cpu, monkeypatch):
    return make_quick(monkeypatch, small_cpu)


def write_power_log(path, began_s, watts=50.0, seconds=500, step_s=0.1):
    lines = [f"{began_s + index * step_s:.3f},{watts}" for index in range(round(seconds / step_s))]
    path.write_text("time,watts\n" + "\n".join(lines) + "\n")
    return path


def test_a_log_is_charged_when_all_of_it_is_written(quick, tmp_path):
    """At 0.1 s a sample and 50 W a window of one second has 50 J."""
    log = write_power_log(tmp_path / "power.csv", time.time() - 5)
    options = MeterOptions(log_path=log)
    record = calibrate(Settings(budget_s=100.0, meter_options=options))
    found = read_measurements(measurement_path(Settings()))
    metered = [timing for timing in found.timings if timing.round == METERED]
    assert len(metered) == record.metered == record.networks
    assert all(timing.energy_j is None and timing.window_unix_s is not None for timing in metered)
    assert record.fits["energy"].mean_error < 0.3
    assert f"power log {log} (time from 'time' (epoch), power from 'watts' in W), the whole machine" in record.meter
    written = read_power_log(log)
    (energy,) = {round(energy_between(written, *timing.window_unix_s).joules, 3) for timing in metered}
    assert energy == pytest.approx(50.0 * 1.01, rel=1e-3)
    assert profiles.load("calibrated-cpu").coefficients.quantity == "energy"


@pytest.mark.parametrize("asked_for", ["auto", "wattmeter-log"])
def test_a_log_that_does_not_overlap_is_one_line_and_loses_nothing(quick, tmp_path, capsys, asked_for):
    began = time.time() - 5
    log = write_power_log(tmp_path / "power.csv", began - 3 * 3600)
    assert run(["calibrate", "--budget", "60s", "--meter", asked_for, "--wattmeter-log", str(log), "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "they do not overlap" in err
    assert "another time zone" in err
    assert "the times are kept as calibrated-cpu" in err
    path = measurement_path(Settings())
    assert str(path) in err
    right = write_power_log(tmp_path / "right.csv", began)
    assert run(["calibrate", "--replay", str(path), "--wattmeter-log", str(right), "--keep", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["fits"].keys() == {"time", "energy"}
    assert record["path"].endswith("calibrated-cpu.json")


def test_a_log_s_time_zone_and_columns_reach_it(quick, tmp_path, capsys):
    log = tmp_path / "power.csv"
    log.write_text("when,a,b\n2026-11-21T00:00:00,1,50\n2026-11-21T00:00:01,1,50\n")
    common = ["calibrate", "--quiet", "--wattmeter-log", str(log)]
    assert run(common) == 1
    assert "name one with" in capsys.readouterr().err
    assert run([*common, "--log-time-column", "when", "--log-watts-column", "c"]) == 2
    assert "watts_column is 'c'" in capsys.readouterr().err
    assert (
        run([*common, "--log-time-column", "when", "--log-watts-column", "b", "--log-time-zone", "Mars/Olympus"]) == 2
    )
    assert "unknown time zone 'Mars/Olympus'" in capsys.readouterr().err
    assert run([*common[:-1], str(tmp_path / "none.csv")]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_a_log_s_unit_reaches_it_and_the_record_says_which(quick, tmp_path, capsys):
    calibrate(
        Settings(
            budget_s=100.0, meter_options=MeterOptions(log_path=write_power_log(tmp_path / "w.csv", time.time() - 5))
        )
    )
    path = measurement_path(Settings())
    log = write_power_log(tmp_path / "power.csv", time.time() - 5, watts=0.05)
    log.write_text(log.read_text().replace("watts", "power"))
    replayed = ["calibrate", "--replay", str(path), "--wattmeter-log", str(log), "--json"]
    capsys.readouterr()
    assert run(replayed) == 1
    assert "is not known; name it with --log-unit (W, kW" in capsys.readouterr().err
    assert run([*replayed, "--log-unit", "horses"]) == 2
    assert "'horses' is no unit of power" in capsys.readouterr().err
    assert run([*replayed, "--log-unit", "kW", "--log-decimal", "."]) == 0
    assert "power from 'power' in kW (as --log-unit says)" in json.loads(capsys.readouterr().out)["meter"]


def test_a_budget_too_small_for_the_meter_says_how_much(quick, tmp_path, capsys):
    """At 1 s a sample each network takes 10 s."""
    log = write_power_log(tmp_path / "power.csv", time.time(), seconds=60, step_s=1.0)
    assert run(["calibrate", "--budget", "60s", "--wattmeter-log", str(log), "--quiet"]) == 2
    err = capsys.readouterr().err
    assert "needs 10 s a network" in err
    assert "give --budget 400s" in err


def test_stated_power_makes_estimated_joules_beside_the_time_that_is_fitted(quick, small_cpu, capsys, monkeypatch):
    assert (
        run(["calibrate", "--budget", "15s", "--meter", "power-model", "--busy-watts", "65", "--quiet", "--json"]) == 0
    )
    record = json.loads(capsys.readouterr().out)
    assert record["fits"].keys() == {"time"}
    assert record["power_model"] == {"busy_w": 65.0, "idle_w": None, "basis": "stated by the user"}
    profile = profiles.load("calibrated-cpu")
    assert profile.coefficients.quantity == "time"
    energy, seconds = profile.by_quantity["energy"], profile.by_quantity["time"]
    assert (energy.label, seconds.label) == ("estimated", "calibrated")
    assert energy.terms == pytest.approx({name: 65.0 * value for name, value in seconds.terms.items()})
    assert "65 W" in energy.basis
    assert (
        run(["calibrate", "--replay", record["path"].replace("profiles/calibrated-cpu.json", "measurements/cpu.jsonl")])
        == 0
    )
    assert "estimated, the time x 65 W" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--idle-watts", "20"], "idle power is stated without busy power"),
        (["--busy-watts", "20", "--idle-watts", "40", "--meter", "power-model"], "swap them"),
        (["--busy-watts", "-1", "--meter", "power-model"], "expected a number of watts"),
        (["--meter", "power-model"], "has no power"),
        (["--meter", "wattmeter-log"], "has no log"),
        (["--log-period", "soon"], "is no time"),
        (["--keep"], "--keep is for --replay"),
    ],
)
def test_meter_options_that_cannot_be_are_wrong_usage(quick, capsys, options, said):
    assert run(["calibrate", "--quiet", *options]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.fixture
def moving_rapl(tmp_path, monkeypatch):
    """Two packages whose counters rise by 4 J between snapshots; the second one's can be stopped."""
    from sizer.meters import rapl as module

    fake = FakeRapl(tmp_path).two_packages()
    really, count, stopped = module.RaplMeter.snapshot, itertools.count(1), []

    def snapshot(meter):
        moved = 4_000_000 * next(count)
        for zone in ("intel-rapl:0", "intel-rapl:0:1", *([] if stopped else ["intel-rapl:1", "intel-rapl:1:1"])):
            fake.set(zone, 1_000_000 + moved)
        return really(meter)

    monkeypatch.setattr(module.RaplMeter, "snapshot", snapshot)
    return stopped


def test_rapl_joules_are_fitted_from_the_metered_round(quick, tmp_path, moving_rapl):
    """Two packages and their memory use 4 J each in every window."""
    options = MeterOptions(sysroot=tmp_path)
    record = calibrate(Settings(budget_s=15.0, meter="rapl", meter_options=options))
    found = read_measurements(measurement_path(Settings()))
    joules = [timing.energy_j * timing.steps for timing in found.timings if timing.round == METERED]
    assert joules == pytest.approx([16.0] * len(joules))
    assert len(joules) == record.metered == record.networks
    assert "package-1/dram" in record.meter
    assert record.fits.keys() == {"time", "energy"}


def test_a_counter_that_stops_costs_the_joules_and_says_so(quick, tmp_path, moving_rapl):
    moving_rapl.append(True)
    options = MeterOptions(sysroot=tmp_path)
    with pytest.raises(MeterError, match=r"package-1 stood still .*the times are kept as calibrated-cpu"):
        calibrate(Settings(budget_s=15.0, meter="rapl", meter_options=options))
    assert profiles.load("calibrated-cpu").by_quantity.keys() == {"time"}
    record = calibrate(Settings(budget_s=15.0, meter="auto", meter_options=options))
    assert "stood still" in record.meter_problem


@pytest.fixture
def gpus(small_cpu, monkeypatch):
    """Two GPUs; the one that CUDA calls 0 is NVML's second."""
    fake = FakeNvml((("GPU-aa11", "H200"), ("GPU-bb22", "H200")))
    monkeypatch.setattr(nvml, "_load", lambda: fake)
    facts = {"uuid": {"value": "GPU-bb22", "source": "driver"}}
    device = replace(small_cpu, id="cuda:0", kind="cuda", name="NVIDIA H200", facts=facts)
    timed = make_quick(monkeypatch, device)
    return fake, device, timed


def test_the_uuid_of_the_gpu_that_is_timed_reaches_its_meter(gpus):
    fake, _, _ = gpus
    asked = []
    fake.nvmlDeviceGetTotalEnergyConsumption = lambda handle: asked.append(handle) or 1_000
    with session.open_session(Settings("cuda:0"), None, 1.0) as opened:
        assert isinstance(opened.meter, Windows)
        opened.meter.snapshot()
    by_uuid = [handle for handle in range(2) if fake.nvmlDeviceGetUUID(handle) in ("GPU-bb22", b"GPU-bb22")]
    assert set(asked) == set(by_uuid)
    assert fake.open == 0


def test_auto_gives_up_a_meter_that_the_budget_cannot_pay_for_and_says_so(gpus):
    record = calibrate(Settings("cuda:0", budget_s=20.0))
    assert record.fits.keys() == {"time"}
    assert "give --budget 40s" in record.meter_problem
    assert record.meter_problem in record.remarks()
    with pytest.raises(UsageError, match="a budget of 20 s is too small: the meter nvml needs 1 s a network"):
        calibrate(Settings("cuda:0", budget_s=20.0, meter="nvml"))


def test_a_gpu_that_nvml_loses_costs_the_joules_and_not_the_times(gpus):
    fake, _, _ = gpus
    reads = iter(range(10**6))
    fake.nvmlDeviceGetTotalEnergyConsumption = lambda handle: _lost_after(next(reads))
    record = calibrate(Settings("cuda:0", budget_s=60.0))
    assert record.fits.keys() == {"time"}
    assert "has disappeared" in record.meter_problem
    with pytest.raises(MeterError, match="has disappeared"):
        calibrate(Settings("cuda:0", budget_s=60.0, meter="nvml"))


def _lost_after(read):
    if read > 2:
        raise GpuIsLostError("GPU is lost")
    return 1_000


def test_a_gpu_that_torch_loses_is_one_line_and_the_rerun_goes_on(gpus, monkeypatch, capsys):
    from sizer.calibration import rounds

    quick, left = rounds.time_run, [30]

    def losing(*arguments):
        left[0] -= 1
        if left[0] == 0:
            raise RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronous")
        return quick(*arguments)

    monkeypatch.setattr(rounds, "time_run", losing)
    options = ["calibrate", "--device", "cuda:0", "--budget", "20s", "--meter", "none", "--quiet"]
    assert run(options) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "cuda:0 failed while it trained" in err
    assert "unspecified launch failure" in err
    assert "nvidia-smi" in err
    path = measurement_path(Settings("cuda:0"))
    before = read_measurements(path).timings
    assert len(before) == 29
    assert run(options) == 0
    assert read_measurements(path).timings[:29] == before


def test_memory_that_runs_out_is_one_line(quick, monkeypatch):
    from sizer.calibration import rounds

    def full(*arguments):
        raise MemoryError

    monkeypatch.setattr(rounds, "time_run", full)
    with pytest.raises(MeasurementError, match=r"MemoryError.*free some memory and run the same command again"):
        calibrate(Settings(budget_s=15.0, meter="none"))


def test_replaying_with_stated_power_needs_no_meter(quick):
    calibrate(Settings(budget_s=15.0, meter="none"))
    record = replay(measurement_path(Settings()), keep=False, options=MeterOptions(busy_w=10.0, idle_w=1.0))
    assert (record.power.busy_w, record.path) == (10.0, None)
