"""Which meter is chosen, what a user is told otherwise, and the meters that read no hardware."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from types import ModuleType

import pytest
from meter_fakes import FakeNvml, FakeRapl, FakeZeus, NVMLError, at

from sizer.base.errors import MeterError, SizerError, UsageError
from sizer.meters import choosing, nvml, rapl
from sizer.meters.choosing import METER_NAMES, Availability, MeterOptions, about_gpu, available_meters, choose_meter
from sizer.meters.protocol import Energy, NullMeter, rejected
from sizer.meters.stated_power import PowerModel
from sizer.meters.wattmeter_csv import LogFormat
from sizer.meters.zeus_adapter import ZeusMeter
from sizer.method.hardware import Device


@pytest.fixture(autouse=True)
def no_real_hardware(monkeypatch):
    """No driver and no zeus, whatever this machine has."""
    fake = FakeNvml()
    fake.init_error = NVMLError("Driver Not Loaded")
    monkeypatch.setattr(nvml, "_load", lambda: fake)
    monkeypatch.setattr(choosing, "find_spec", lambda name: None)
    return fake


@pytest.fixture
def bare(tmp_path) -> MeterOptions:
    """A machine without RAPL."""
    return MeterOptions(sysroot=tmp_path)


@pytest.fixture
def with_rapl(tmp_path) -> MeterOptions:
    FakeRapl(tmp_path).two_packages()
    return MeterOptions(sysroot=tmp_path)


def test_auto_takes_the_device_s_own_counter(with_rapl, no_real_hardware):
    meter = choose_meter("auto", "cpu", with_rapl)
    assert (meter.name, meter.label) == ("rapl", "measured")
    meter.close()
    no_real_hardware.init_error = None
    meter = choose_meter("auto", "cuda:0", with_rapl)
    assert (meter.name, meter.label) == ("nvml", "measured")
    meter.close()


def test_auto_measures_before_it_estimates_and_estimates_before_it_gives_up(with_rapl, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    stated = MeterOptions(busy_w=60.0, sysroot=with_rapl.sysroot)
    meter = choose_meter("auto", "cpu", stated)
    assert meter.name == "rapl"
    meter.close()
    assert choose_meter("auto", "cpu", MeterOptions(busy_w=60.0, sysroot=empty)).name == "power-model"
    nothing = choose_meter("auto", "cpu", MeterOptions(sysroot=empty))
    assert nothing.name == "none"
    assert "no RAPL counter" in nothing.source
    assert "no NVIDIA driver answers" in choose_meter("auto", "cuda:0", MeterOptions(sysroot=empty)).source
    assert "none is known for mps" in choose_meter("auto", "mps", MeterOptions(sysroot=empty)).source


def test_auto_takes_a_log_that_is_given_over_everything(with_rapl, tmp_path):
    log = tmp_path / "power.csv"
    log.write_text("0,50\n1,50\n")
    assert choose_meter("auto", "cpu", MeterOptions(log_path=log, sysroot=with_rapl.sysroot)).name == "wattmeter-log"
    with pytest.raises(MeterError, match="cannot be read"):
        choose_meter("auto", "cpu", MeterOptions(log_path=tmp_path / "none.csv", sysroot=with_rapl.sysroot))


def test_an_unknown_name_lists_the_names_and_why_some_do_not_work(bare):
    with pytest.raises(UsageError) as caught:
        choose_meter("watt", "cpu", bare)
    message = str(caught.value)
    assert "did you mean wattmeter-log? Expected one of auto, rapl, nvml, zeus, wattmeter-log," in message
    for reason in (
        "rapl: no RAPL counter",
        "; nvml: nvml meters cuda",
        "; zeus: zeus is not installed; ",
        "power-model: ",
    ):
        assert reason in message
    assert "\n" not in message
    with pytest.raises(UsageError, match="unknown meter 'watt'") as caught:
        choose_meter("watt", "cpu", replace(bare, busy_w=60.0))
    assert "power-model: " not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "device", "exit_code", "reason"),
    [
        ("rapl", "cpu", 1, "no RAPL counter"),
        ("rapl", "cuda:0", 1, "rapl meters cpu devices, not cuda:0; use --meter auto"),
        ("nvml", "cuda:0", 1, "no NVIDIA driver answers"),
        ("nvml", "cpu", 1, "nvml meters cuda devices, not cpu"),
        ("zeus", "cpu", 1, r"zeus is not installed .*pip install 'cache-sizer\[zeus\]'"),
        (
            "power-model",
            "cpu",
            2,
            "^the meter power-model has no power; state what the machine draws while it trains, in W$",
        ),
        ("wattmeter-log", "cpu", 2, "^the meter wattmeter-log has no log; name its file$"),
    ],
)
def test_a_meter_asked_for_by_name_works_or_says_why_not(bare, name, device, exit_code, reason):
    with pytest.raises(SizerError, match=reason) as caught:
        choose_meter(name, device, bare)
    assert caught.value.exit_code == exit_code


def test_a_meter_is_told_what_is_its_own(no_real_hardware, tmp_path, monkeypatch):
    no_real_hardware.init_error = None
    no_real_hardware.gpus = (("GPU-aa11", "H200"), ("GPU-bb22", "H200"))
    no_real_hardware.energy_mj = {0: 111, 1: 222}
    log = tmp_path / "power.csv"
    log.write_text("time,power\n0,2\n1,2\n")
    options = MeterOptions(60.0, 20.0, "of a profile", log, LogFormat(unit="kW"), "GPU-bb22")
    assert choose_meter("nvml", "cuda:0", options).snapshot().readings == (222,)
    assert choose_meter("power-model", "cpu", options).source == "power model: 60 W busy, 20 W idle (of a profile)"
    assert choose_meter("wattmeter-log", "cpu", options).energy(at(0.0), at(1.0)).joules == 2000.0
    monkeypatch.setattr(rapl, "RaplMeter", lambda sysroot: sysroot)
    assert choose_meter("rapl", "cpu", options) == "/"


@pytest.mark.parametrize(
    ("stated", "facts", "uuid"),
    [
        (None, {"uuid": {"value": "GPU-bb22"}}, "GPU-bb22"),
        ("GPU-aa11", {"uuid": {"value": "GPU-bb22"}}, "GPU-aa11"),
        (None, {"uuid": {"value": None}}, None),
        (None, {}, None),
    ],
)
def test_the_gpu_is_named_by_the_uuid_that_was_detected_unless_one_is_stated(stated, facts, uuid):
    options = MeterOptions(busy_w=60.0, gpu_uuid=stated)
    assert about_gpu(options, Device("cuda:1", "cuda", "H200", 132, (), facts=facts)) == replace(options, gpu_uuid=uuid)


def test_the_doctor_sees_every_meter_with_problem_and_remedy(with_rapl):
    found = {meter.name: meter for meter in available_meters(options=with_rapl)}
    assert ("auto", *found) == METER_NAMES
    assert found["rapl"].available
    assert "package-0" in found["rapl"].source
    assert not found["nvml"].available
    assert found["nvml"].problem == "no NVIDIA driver answers (NVML: Driver Not Loaded)"
    assert found["nvml"].remedy == "check that `nvidia-smi` works"
    remedy = "run `pip install 'cache-sizer[zeus]'`"
    assert found["zeus"] == Availability("zeus", False, None, "zeus is not installed", remedy)
    assert found["none"].available
    assert found["nvml"].available is False


def test_the_doctor_looks_zeus_up_and_does_not_try_it(bare, monkeypatch):
    monkeypatch.setattr(choosing, "find_spec", lambda name: name if name == "zeus" else None)
    found = {meter.name: meter for meter in available_meters("cpu", bare)}
    assert found["zeus"] == Availability("zeus", True, "installed (not tried)")


def test_what_is_wrong_ends_at_the_first_semicolon_and_the_rest_is_what_to_do(bare):
    (bare.sysroot / "sys/class/powercap/intel-rapl:0").mkdir(parents=True)
    (found, *_) = available_meters("cpu", bare)
    assert found.problem.endswith("in /sys/class/powercap (intel-rapl:0)")
    assert found.remedy.startswith("container runtimes hide them; start the container with")


def test_a_permission_problem_comes_with_the_command(with_rapl, monkeypatch):
    really_open = os.open

    def refuse(path, *arguments, **options):
        if str(path).endswith("energy_uj"):
            raise PermissionError(13, "Permission denied", path)
        return really_open(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    (rapl,) = (meter for meter in available_meters(options=with_rapl) if meter.name == "rapl")
    assert "no permission to read" in rapl.problem
    assert "CVE-2020-8694" in rapl.problem
    assert "sudo chgrp $(id -gn)" in rapl.remedy


def test_importing_the_factory_loads_no_vendor_and_no_numeric_library():
    script = (
        "import sys, sizer.meters.choosing; "
        "print([name for name in ('torch', 'numpy', 'pandas', 'pynvml', 'zeus', 'zoneinfo') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_a_meter_there_is_time_and_no_joules():
    meter = NullMeter("nothing works")
    start = meter.snapshot()
    energy = meter.energy(start, start._replace(time_s=start.time_s + 2.0))
    assert (energy.joules, energy.seconds, energy.label) == (None, 2.0, "none")
    assert energy.warnings == ("no energy meter: nothing works",)
    assert energy.detail == {}
    assert start.unix_s == pytest.approx(time.time(), abs=60.0)
    with pytest.raises(MeterError, match="nothing works"):
        energy.required()
    assert choose_meter("none").source == "no energy meter: none was asked for"


def test_joules_that_are_asked_for_come_or_all_the_reasons_do():
    assert Energy(3.5, 1.0, "measured").required() == 3.5
    with pytest.raises(MeterError, match=r"^window rejected: one; window rejected: two$"):
        rejected(1.0, "measured", ("wall",), "one", "two").required()
    with pytest.raises(MeterError, match=r"^no meter measured this window; choose one with --meter$"):
        Energy(None, 1.0, "none").required()


def test_stated_power_times_time_is_labelled_estimated():
    meter = PowerModel(120.0, 40.0)
    energy = meter.energy(at(1.0), at(3.5))
    assert energy.joules == 300.0
    assert energy.detail == {"idle": 100.0, "above idle": 200.0}
    assert energy.label == meter.label == "estimated"
    assert meter.source == "power model: 120 W busy, 40 W idle (stated by the user)"
    backwards = Energy(
        None, -2.0, "estimated", {"idle": None, "above idle": None}, ("window rejected: its end lies before its start",)
    )
    assert meter.energy(at(3.0), at(1.0)) == backwards
    assert meter.energy(at(1.0), at(1.0)).joules == 0.0
    assert meter.energy(at(1.0), at(1.5)).joules == 60.0


def test_who_stated_the_power_is_kept_and_idle_power_may_be_as_much():
    meter = PowerModel(120.0, basis="of a profile")
    assert (meter.basis, meter.source) == ("of a profile", "power model: 120 W busy (of a profile)")
    assert meter.quantities == ("busy",)
    assert PowerModel(120.0, 120.0).estimate(1.0, 1.0).joules == 240.0


def test_the_snapshots_of_a_stated_power_are_times_on_both_clocks():
    meter = PowerModel(120.0)
    before = time.perf_counter()
    snapshot = meter.snapshot()
    assert before <= snapshot.time_s <= time.perf_counter()
    assert snapshot.unix_s == pytest.approx(time.time(), abs=60.0)


def test_idle_time_costs_idle_power_and_is_not_known_without_it():
    both = Energy(360.0, 5.0, "estimated", {"idle": 200.0, "above idle": 160.0})
    assert PowerModel(120.0, 40.0).estimate(2.0, 3.0) == both
    assert PowerModel(120.0).estimate(2.0) == Energy(240.0, 2.0, "estimated", {"busy": 240.0})
    unknown = Energy(None, 5.0, "estimated", {"busy": 240.0}, ("idle power is not stated",))
    assert PowerModel(120.0).estimate(2.0, 3.0) == unknown


@pytest.mark.parametrize(
    ("busy", "idle", "reason"),
    [
        (0.0, None, "^busy power is 0 W; expected what the machine draws while it trains$"),
        (-1.0, None, "busy power is -1.0; expected"),
        (float("nan"), None, "busy power is nan"),
        (float("inf"), None, "busy power is inf"),
        (100.0, -1.0, "idle power is -1.0"),
        (100.0, 120.0, "idle power .120 W. is above busy power"),
        (True, None, "busy power is True"),
    ],
)
def test_watts_that_cannot_be(busy, idle, reason):
    with pytest.raises(UsageError, match=reason):
        PowerModel(busy, idle)


def test_zeus_windows_add_up_in_joules():
    monitor = FakeZeus(gpu_energy={}, cpu_energy={0: 0.5, 1: 0.25}, dram_energy={0: 0.125}, soc_energy=None)
    meter = ZeusMeter("cpu", monitor)
    assert meter.quantities == ("cpu 0", "cpu 1", "dram 0")
    monitor.next_window = {"gpu_energy": {}, "cpu_energy": {0: 40.0, 1: 20.0}, "dram_energy": {0: 4.0}}
    start, middle, end = meter.snapshot(), meter.snapshot(), meter.snapshot()
    energy = meter.energy(start, end._replace(time_s=start.time_s + 2.0))
    assert energy.joules == 128.0
    assert energy.detail == {"cpu 0": 80.0, "cpu 1": 40.0, "dram 0": 8.0}
    assert meter.energy(middle, end._replace(time_s=middle.time_s + 1.0)).joules == 64.0
    meter.close()
    assert monitor.windows == set()


class _Apple:
    cpu_total_mj, gpu_mj, dram_mj, ane_mj, performance_cores_mj = 3000, 500, 250, 0, [1, 2]


class _Jetson:
    cpu_energy_mj, gpu_energy_mj, total_energy_mj = 1000.0, 500.0, 2000.0


@pytest.mark.parametrize(
    ("chip", "domains", "joules"),
    [(_Apple, ("chip cpu_total", "chip gpu", "chip dram", "chip ane"), 3.75), (_Jetson, ("chip total",), 2.0)],
)
def test_parts_of_a_chip_are_millijoules_and_do_not_overlap(chip, domains, joules):
    meter = ZeusMeter("cpu", FakeZeus(gpu_energy={}, soc_energy=chip()))
    assert meter.quantities == domains
    start = meter.snapshot()
    assert meter.energy(start, meter.snapshot()._replace(time_s=start.time_s + 1.0)).joules == joules


def test_a_zeus_window_of_zero_joules_is_not_known():
    monitor = FakeZeus(gpu_energy={0: 0.0})
    meter = ZeusMeter("cuda:0", monitor)
    start = meter.snapshot()
    energy = meter.energy(start, meter.snapshot()._replace(time_s=start.time_s + 1.0))
    assert energy.joules is None
    assert "gpu 0 stood still" in energy.warnings[0]


def test_a_zeus_that_fails_in_the_middle_rejects_the_window_and_goes_on():
    monitor = FakeZeus(gpu_energy={0: 50.0})
    meter = ZeusMeter("cuda:0", monitor)
    start = meter.snapshot()
    monitor.error = RuntimeError("driver fell over")
    meter.snapshot()
    monitor.error = None
    end = meter.snapshot()
    energy = meter.energy(start, end._replace(time_s=start.time_s + 2.0))
    assert energy.joules is None
    assert "zeus could not measure: driver fell over" in energy.warnings[0]
    assert meter.energy(end, meter.snapshot()._replace(time_s=end.time_s + 2.0)).joules == 50.0


class _Broken:
    """A monitor that cannot begin."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def begin_window(self, key, sync_execution=True):
        raise self.error


@pytest.mark.parametrize(
    ("error", "reason"), [(RuntimeError("no RAPL. No GPU."), "no RAPL. No GPU"), (ValueError(), "ValueError")]
)
def test_a_zeus_that_cannot_begin_says_why_in_one_line(error, reason):
    with pytest.raises(MeterError) as caught:
        ZeusMeter("cuda:1", _Broken(error))
    assert str(caught.value) == f"zeus cannot measure cuda:1: {reason}; see `python -m zeus.show_env`"


def test_a_zeus_meter_says_what_it_reads_and_each_failure_counts():
    monitor = FakeZeus(gpu_energy={}, cpu_energy={0: 9000.0}, dram_energy={0: 1.0})
    meter = ZeusMeter("cpu", monitor)
    assert meter.source == "zeus monitor of cpu 0, dram 0"
    start = meter.snapshot()
    assert start == (start.time_s, start.unix_s, (9000.0, 1.0), 0, None)
    assert start.unix_s == pytest.approx(time.time(), abs=60.0)
    monitor.error = KeyError()
    failed, again = meter.snapshot(), meter.snapshot()
    assert failed[2:] == ((None, None), 1, "zeus could not measure: KeyError")
    assert again.interruptions == 2
    monitor.error = None
    begun = meter.snapshot()
    energy = meter.energy(begun, meter.snapshot()._replace(time_s=begun.time_s + 2.0))
    assert energy.joules is None
    assert "cpu 0 rose by 9000 J" in energy.warnings[0]
    assert "more than 3000 W" in energy.warnings[0]
    assert energy.label == "measured"


@pytest.mark.parametrize(
    ("device", "asked"),
    [
        ("cpu", {"gpu_indices": []}),
        ("mps", {"gpu_indices": []}),
        ("cuda", {"gpu_indices": [0], "cpu_indices": []}),
        ("cuda:3", {"gpu_indices": [3], "cpu_indices": []}),
    ],
)
def test_zeus_is_asked_for_the_one_device(monkeypatch, device, asked):
    seen = []

    def monitor(**options):
        seen.append(options)
        return FakeZeus(gpu_energy={0: 5.0})

    install_zeus(monkeypatch, monitor)
    assert ZeusMeter(device).quantities == ("gpu 0",)
    assert seen == [asked]


def install_zeus(monkeypatch, monitor):
    """A stand-in for the package: importing the real one takes seconds, and it looks for hardware."""
    monkeypatch.setitem(sys.modules, "zeus", ModuleType("zeus"))
    module = ModuleType("zeus.monitor")
    module.ZeusMonitor = monitor
    monkeypatch.setitem(sys.modules, "zeus.monitor", module)
    monkeypatch.setattr(choosing, "find_spec", lambda name: name if name == "zeus" else None)


def test_auto_takes_an_installed_zeus_where_no_counter_works_and_no_captured_machine_is_meant(monkeypatch, bare):
    install_zeus(monkeypatch, lambda **options: FakeZeus(soc_energy=_Apple()))
    assert choose_meter("auto", "mps").name == "zeus"
    assert choose_meter("auto", "mps", bare).name == "none"
    install_zeus(monkeypatch, lambda **options: FakeZeus())
    assert choose_meter("auto", "cuda:0").source == (
        "no energy meter: no NVIDIA driver answers (NVML: Driver Not Loaded); check that `nvidia-smi` works; "
        "zeus finds nothing it can measure for cuda:0; see `python -m zeus.show_env`"
    )


def test_zeus_takes_no_other_device():
    with pytest.raises(MeterError, match=r"zeus cannot meter the device 'tpu:0'; expected cpu, mps, cuda or cuda:N"):
        ZeusMeter("tpu:0")


def test_a_zeus_that_goes_wrong_for_good_is_closed_all_the_same(monkeypatch):
    monitor = FakeZeus(gpu_energy={0: 50.0})
    meter = ZeusMeter("cuda:0", monitor)
    monkeypatch.setattr(monitor, "begin_window", _Broken(RuntimeError("driver fell over")).begin_window)
    assert meter.snapshot().problem == "zeus could not measure: driver fell over"
    meter.close()


def test_a_zeus_that_finds_nothing_is_no_meter():
    with pytest.raises(MeterError, match="nothing it can measure for cpu; see"):
        ZeusMeter("cpu", FakeZeus(gpu_energy={}))


def test_a_snapshot_is_cheap(with_rapl):
    """Far below the 100 ms that the shortest window lasts, even on a busy machine."""
    meter = choose_meter("rapl", "cpu", with_rapl)
    durations = []
    for _ in range(200):
        start = time.perf_counter()
        meter.snapshot()
        durations.append(time.perf_counter() - start)
    meter.close()
    assert sorted(durations)[100] < 0.001
