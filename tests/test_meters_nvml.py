"""NVML behind a fake pynvml: the energy counter, sampled power, which GPU is cuda:N, a GPU that disappears."""

from __future__ import annotations

import sys
import threading
import time

import pytest
from meter_fakes import FakeNvml, GpuIsLostError, NotSupportedError, NVMLError, at

from sizer.base.errors import MeterError, UsageError
from sizer.meters.nvml import GpuState, NvmlMeter
from sizer.meters.protocol import Energy
from sizer.meters.sampling import PowerSampler

SECOND = "0a1b2c3d-0000-1111-2222-333344445555"
TWO_GPUS = (("GPU-aa11", "H200"), ("GPU-bb22", "H200"))


def test_the_energy_counter_is_in_millijoules():
    nvml = FakeNvml()
    meter = NvmlMeter(nvml=nvml, environment={})
    start = meter.snapshot()
    nvml.energy_mj[0] += 1_234_567
    energy = meter.energy(start, meter.snapshot()._replace(time_s=start.time_s + 4.0))
    assert energy.joules == 1234.567
    assert energy.detail == {"cuda:0": 1234.567}
    assert energy.label == "measured"
    assert meter.minimum_window_s == 1.0
    assert meter.maximum_window_s is None
    assert start.unix_s == pytest.approx(time.time(), abs=60.0)
    meter.close()
    assert nvml.open == 0


@pytest.mark.parametrize("counter", [True, False], ids=["counted", "sampled"])
def test_a_board_may_draw_3000_w_and_no_more(counter):
    nvml = FakeNvml()
    if not counter:
        nvml.energy_mj[0] = NotSupportedError("Not Supported")
    meter = _closed(NvmlMeter(nvml=nvml, environment={}))
    per_joule = 1000 if counter else 1
    sound = meter.energy(at(0.0, 5.0), at(10.0, 5.0 + 29_000 * per_joule))
    assert sound == Energy(29_000.0, 10.0, "measured", {"cuda:0": 29_000.0})
    jumped = meter.energy(at(0.0, 5.0), at(10.0, 5.0 + 31_000 * per_joule))
    assert "the counter of cuda:0 rose by 3.1e+04 J in 10.1 s, more than 3000 W: it jumped" in jumped.warnings[0]


def test_a_window_below_ten_update_periods_is_rejected():
    nvml = FakeNvml()
    meter = NvmlMeter(nvml=nvml, environment={})
    start = meter.snapshot()
    nvml.energy_mj[0] += 100_000
    end = meter.snapshot()
    assert meter.energy(start, end._replace(time_s=start.time_s + 0.99)).joules is None
    assert meter.energy(start, end._replace(time_s=start.time_s + 1.01)).joules == 100.0


def test_a_gpu_that_disappears_rejects_every_window_it_was_away_in_and_says_what_to_do():
    nvml = FakeNvml()
    meter = NvmlMeter(nvml=nvml, environment={})
    start = meter.snapshot()
    nvml.energy_mj[0] = GpuIsLostError("GPU is lost")
    lost = meter.snapshot()
    nvml.energy_mj[0] = 5_900_000
    back = meter.snapshot()
    for end in (lost, back):
        energy = meter.energy(start, end._replace(time_s=start.time_s + 5.0))
        assert energy.joules is None
        assert energy.warnings == (
            "window rejected: the GPU cuda:0 has disappeared (NVML: GPU is lost); see `nvidia-smi` and the kernel log "
            "for an Xid error, reset the GPU or restart the machine, and measure again",
        )


def test_each_failure_counts_and_has_no_reading():
    nvml = FakeNvml()
    meter = NvmlMeter(nvml=nvml, environment={})
    nvml.energy_mj[0] = NVMLError("Unknown Error")
    first, second = meter.snapshot(), meter.snapshot()
    assert first[2:] == ((None,), 1, "NVML cannot read the energy of cuda:0: Unknown Error")
    assert second.interruptions == 2
    nvml.shutdown_error = NVMLError("Uninitialized")
    meter.close()


def test_a_driver_reload_is_a_jump_back():
    nvml = FakeNvml()
    meter = NvmlMeter(nvml=nvml, environment={})
    start = meter.snapshot()
    nvml.energy_mj[0] = 1_000
    energy = meter.energy(start, meter.snapshot()._replace(time_s=start.time_s + 5.0))
    assert energy.joules is None
    assert "jumped back" in energy.warnings[0]


def test_without_a_counter_power_is_sampled_and_said():
    nvml = FakeNvml()
    nvml.energy_mj[0] = NotSupportedError("Not Supported")
    meter = NvmlMeter(nvml=nvml, environment={})
    assert meter.source == (
        "NVML power (from Ampere on a mean over one second) of cuda:0, the whole board, sampled every 0.05 s and held "
        "(no energy counter)"
    )
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "sizer-power-sampler"]
    assert thread.daemon, "a program that ends without closing its meter must end"
    start = meter.snapshot()
    assert start.unix_s == pytest.approx(time.time(), abs=60.0)
    time.sleep(0.2)
    end = meter.snapshot()
    assert end.readings[0] - start.readings[0] == pytest.approx(300.0 * (end.time_s - start.time_s), rel=1e-6)
    assert meter.energy(start, end).joules is None, "shorter than the power reading's averaging time"
    meter.close()
    assert nvml.open == 0
    assert not thread.is_alive()


def test_instant_power_is_sampled_where_there_is_such_a_field():
    """From Ampere on the other reading is a mean over a second."""
    nvml = FakeNvml()
    nvml.energy_mj[0] = NotSupportedError("Not Supported")
    nvml.instant_mw = 450_000
    meter = NvmlMeter(nvml=nvml, environment={})
    assert meter.source.startswith("NVML instant power of cuda:0, the whole board, sampled")
    start, end = meter.snapshot(), meter.snapshot()
    assert (end.readings[0] - start.readings[0]) / (end.time_s - start.time_s) == pytest.approx(450.0)
    assert _closed(meter).edge_period_s is None
    nvml.instant_mw = NVMLError("Unknown Error")
    assert "a mean over one second" in _closed(NvmlMeter(nvml=nvml, environment={})).source


def _closed(meter):
    meter.close()
    return meter


def test_an_instant_power_that_is_no_longer_told_interrupts_the_samples():
    nvml = FakeNvml()
    nvml.energy_mj[0] = NotSupportedError("Not Supported")
    nvml.instant_mw = 450_000
    meter = _closed(NvmlMeter(nvml=nvml, environment={}))
    nvml.instant_mw = None
    meter._sampler.sample()
    assert meter.snapshot().problem == "NVML does not read the instant power of cuda:0 any more"


@pytest.mark.parametrize(
    ("name", "covered"),
    [
        ("NVIDIA H200", "the whole board"),
        ("NVIDIA GH200 480GB", "the whole module, its processor and that one's memory included"),
        ("NVIDIA GB200", "the whole module, its processor and that one's memory included"),
    ],
)
def test_the_counter_of_a_superchip_covers_its_module_and_says_so(name, covered):
    nvml = FakeNvml((("GPU-aa11", name),))
    assert NvmlMeter(nvml=nvml, environment={}).source == f"NVML energy counter of cuda:0, {covered}"


@pytest.mark.parametrize("uuid", ["GPU-aa11", "aa11", None])
def test_an_instance_is_never_metered_as_the_whole_card(uuid):
    nvml = FakeNvml()
    nvml.mig = [1, 1]
    with pytest.raises(MeterError, match=r"cuda:0 is a part of a GPU that is partitioned .*; use --meter power-model"):
        NvmlMeter("cuda:0", uuid, nvml, {})
    assert nvml.open == 0


@pytest.mark.parametrize("mig", [[0, 1], NotSupportedError("Not Supported")], ids=["after a reset", "not supported"])
def test_a_gpu_that_is_whole_now_is_metered(mig):
    nvml = FakeNvml()
    nvml.mig = mig
    assert NvmlMeter(nvml=nvml, environment={}).snapshot().readings == (5_000_000,)


@pytest.mark.parametrize(
    "uuid",
    [SECOND, f"GPU-{SECOND}", SECOND.replace("-", ""), f"GPU-{SECOND.upper()}", "GPU-0A1B2C3D00", "0a1b2c3d-00"],
)
def test_a_uuid_matches_with_dashes_and_without(uuid):
    nvml = FakeNvml((("GPU-ffff2c3d-0000-1111-2222-333344445555", "H200"), (f"GPU-{SECOND}", "H200")))
    nvml.energy_mj = {0: 111, 1: 222}
    assert NvmlMeter("cuda:0", uuid, nvml, {}).snapshot().readings == (222,)


def test_a_gpu_lost_while_power_is_sampled_rejects_the_window():
    nvml = FakeNvml()
    nvml.energy_mj[0] = NotSupportedError("Not Supported")
    meter = NvmlMeter(nvml=nvml, environment={})
    start = meter.snapshot()
    nvml.power_mw = GpuIsLostError("GPU is lost")
    time.sleep(0.2)
    nvml.power_mw = 300_000
    time.sleep(0.2)
    energy = meter.energy(start, meter.snapshot()._replace(time_s=start.time_s + 10.0))
    meter.close()
    assert energy.joules is None
    assert "cuda:0 has disappeared" in energy.warnings[0]


def test_a_gpu_with_neither_is_no_meter():
    nvml = FakeNvml()
    nvml.energy_mj[0] = nvml.power_mw = NotSupportedError("Not Supported")
    with pytest.raises(MeterError, match=r"neither energy nor power .*--meter power-model"):
        NvmlMeter(nvml=nvml, environment={})
    assert nvml.open == 0


def test_a_gpu_that_is_lost_from_the_start_is_no_meter():
    nvml = FakeNvml()
    nvml.handle_error = GpuIsLostError("GPU is lost")
    with pytest.raises(MeterError, match=r"^the GPU cuda:0 has disappeared .NVML: GPU is lost.; see"):
        NvmlMeter(nvml=nvml, environment={})
    assert nvml.open == 0


def test_a_machine_without_a_driver_is_no_meter():
    nvml = FakeNvml()
    nvml.init_error = NVMLError("NVML Shared Library Not Found")
    with pytest.raises(MeterError, match=r"no NVIDIA driver answers .NVML: NVML Shared Library Not Found.*nvidia-smi"):
        NvmlMeter(nvml=nvml)


@pytest.mark.parametrize(
    ("device", "uuid", "environment", "expected"),
    [
        ("cuda", None, {}, 0),
        ("cuda:1", None, {}, 1),
        ("cuda:0", None, {"CUDA_VISIBLE_DEVICES": "1"}, 1),
        ("cuda:0", None, {"CUDA_VISIBLE_DEVICES": "1,0"}, 1),
        ("cuda:1", None, {"CUDA_VISIBLE_DEVICES": "1, 0"}, 0),
        ("cuda:0", None, {"CUDA_VISIBLE_DEVICES": "GPU-bb"}, 1),
        ("cuda:0", "GPU-bb22", {"CUDA_VISIBLE_DEVICES": "0"}, 1),
        ("cuda:0", "bb22", {}, 1),
    ],
)
def test_the_gpu_metered_is_the_one_that_pytorch_uses(device, uuid, environment, expected):
    nvml = FakeNvml(TWO_GPUS)
    nvml.energy_mj = {0: 111, 1: 222}
    meter = NvmlMeter(device, uuid, nvml, environment)
    assert meter.snapshot().readings == ((111, 222)[expected],)


@pytest.mark.parametrize(
    ("device", "environment", "reason"),
    [
        ("cuda:2", {}, "no GPU is cuda:2: NVML sees 2"),
        ("cuda:1", {"CUDA_VISIBLE_DEVICES": "0"}, "no GPU is cuda:1; CUDA_VISIBLE_DEVICES is '0'"),
        ("cuda:0", {"CUDA_VISIBLE_DEVICES": ""}, "no GPU is cuda:0"),
        ("cuda:0", {"CUDA_VISIBLE_DEVICES": "-1"}, "no GPU is cuda:0"),
        ("cuda:0", {"CUDA_VISIBLE_DEVICES": "5"}, "no GPU is cuda:0: NVML sees 2; `nvidia-smi -L` lists them$"),
        (
            "cuda:0",
            {"CUDA_VISIBLE_DEVICES": "GPU-cc"},
            r"^0 of the 2 GPUs that NVML sees have a UUID beginning with GPU-cc .cuda:0.; `nvidia-smi -L` lists them$",
        ),
        ("cuda:0", {"CUDA_VISIBLE_DEVICES": "GPU-"}, "2 of the 2 GPUs"),
        ("cuda:0", {"CUDA_VISIBLE_DEVICES": "MIG-12"}, "whole GPUs only; use --meter power-model"),
    ],
)
def test_a_gpu_that_cannot_be_identified_is_refused(device, environment, reason):
    nvml = FakeNvml(TWO_GPUS)
    with pytest.raises(MeterError, match=reason):
        NvmlMeter(device, None, nvml, environment)
    assert nvml.open == 0


def test_a_uuid_that_no_gpu_has_is_named_with_the_device():
    with pytest.raises(MeterError, match=r"^0 of the 2 GPUs .* beginning with cc33 \(cuda:1\); "):
        NvmlMeter("cuda:1", "cc33", FakeNvml(TWO_GPUS), {})


@pytest.mark.parametrize("visible", [{}, {"CUDA_VISIBLE_DEVICES": "0"}])
def test_unlike_gpus_need_their_order_pinned(visible):
    nvml = FakeNvml((("GPU-aa11", "T4"), ("GPU-bb22", "H200")))
    with pytest.raises(MeterError, match=r"CUDA's ordering of H200, T4; set CUDA_DEVICE_ORDER=PCI_BUS_ID"):
        NvmlMeter("cuda:0", None, nvml, visible)
    NvmlMeter("cuda:0", None, nvml, {**visible, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"})


def test_other_devices_are_wrong_usage():
    with pytest.raises(UsageError, match=r"'cpu'; expected cuda or cuda:N"):
        NvmlMeter("cpu", None, FakeNvml(), {})


class _Sampled:
    """A sampler on a clock that the test moves."""

    def __init__(self, period_s: float = 0.1) -> None:
        self.now, self.watts = 100.0, 50.0
        self.sampler = PowerSampler(lambda: self.watts, period_s, lambda: self.now)

    def step(self, seconds, watts):
        self.now += seconds
        self.watts = watts
        self.sampler.sample()


def test_samples_are_held_until_the_next():
    run = _Sampled()
    run.step(0.25, 80.0)
    run.step(0.5, 20.0)
    run.now += 0.25
    assert run.sampler.reading() == (101.0, 50.0 * 0.25 + 80.0 * 0.5 + 20.0 * 0.25, 0, None)


def test_a_sample_that_fails_interrupts_and_says_why():
    run = _Sampled()
    run.sampler._read_watts = lambda: int("no number")
    run.step(0.1, 50.0)
    assert run.sampler.reading()[1:3] == (None, 1)
    assert run.sampler.reading()[3].startswith("invalid literal for int")
    run.sampler._read_watts = _fail_without_words
    run.step(0.1, 50.0)
    assert run.sampler.reading()[2:] == (2, "RuntimeError")


def _fail_without_words():
    raise RuntimeError


def test_a_sample_below_one_watt_is_one_and_may_be_held_for_ten_periods():
    run = _Sampled(0.125)
    run.step(0.25, 0.5)
    run.step(1.25, 0.5)
    assert run.sampler.reading() == (101.5, 50.0 * 0.25 + 0.5 * 1.25, 0, None)
    run.now += 1.25
    assert run.sampler.reading() == (102.75, 50.0 * 0.25 + 0.5 * 2.5, 0, None)


@pytest.mark.parametrize("watts", [0.0, -1.0, float("nan")])
def test_a_sample_that_is_no_power_interrupts(watts):
    run = _Sampled()
    run.step(0.1, watts)
    assert run.sampler.reading()[1] is None
    run.step(0.1, 50.0)
    _, joules, interruptions, problem = run.sampler.reading()
    assert joules == pytest.approx(5.0)
    assert interruptions == 1
    assert problem == f"a power sample was {watts:g} W"


def test_a_starved_sampler_interrupts_whether_or_not_it_recovers():
    run = _Sampled()
    run.now += 1.1
    assert run.sampler.reading() == (run.now, None, 0, "no power sample for 1.1 s")
    run.sampler.sample()
    _, joules, interruptions, problem = run.sampler.reading()
    assert joules is not None
    assert interruptions == 1
    assert "no power sample for 1.1 s, more than 1 s" in problem


class StateNvml(FakeNvml):
    """NVML with clocks and processes; ``clock`` None has none to tell."""

    NVML_CLOCK_SM = 1
    clock: int | None = 900
    processes = ("this one", "another", "a third")

    def nvmlDeviceGetClockInfo(self, handle, kind):
        return self._told(handle, kind, self.clock)

    def nvmlDeviceGetMaxClockInfo(self, handle, kind):
        return self._told(handle, kind, 1980)

    def _told(self, handle, kind, clock):
        self.gpus[handle]
        if clock is None or kind != self.NVML_CLOCK_SM:
            raise self.NVMLError_NotSupported("Not Supported")
        return clock

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        self.gpus[handle]
        return self.processes


def test_a_gpus_clock_and_other_processes_explain():
    nvml = StateNvml()
    state = GpuState("cuda:0", "GPU-aa11", nvml)
    assert state.read() == {"sm_clock_mhz": 900, "sm_clock_most_mhz": 1980, "other_processes": 2}
    nvml.clock = None
    nvml.processes = ()  # (those of another container are not seen, this one may not be either)
    assert state.read() == {"sm_clock_most_mhz": 1980, "other_processes": 0}
    nvml.shutdown_error = NVMLError("Uninitialized")
    state.close()
    assert nvml.open == 0


def test_without_a_gpu_to_ask_nothing_is_told():
    lost = StateNvml()
    lost.handle_error = GpuIsLostError("GPU is lost")
    no_driver = StateNvml()
    no_driver.init_error = NVMLError("Driver Not Loaded")
    for nvml, uuid in ((StateNvml(), "GPU-elsewhere"), (FakeNvml(), None), (lost, None), (no_driver, None)):
        state = GpuState("cuda:0", uuid, nvml)
        assert state.read() == {}
        state.close()
        assert nvml.open == 0


def test_nvml_is_the_package_of_nvidia_or_is_missed_by_its_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", StateNvml())
    assert GpuState("cuda:0").read()["sm_clock_mhz"] == 900
    assert NvmlMeter(environment={}).snapshot().readings == (5_000_000,)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    missed = "^the package nvidia-ml-py is not installed; install it to read NVIDIA GPUs$"
    with pytest.raises(MeterError, match=missed):
        NvmlMeter(environment={})
    assert GpuState("cuda:0").read() == {}
