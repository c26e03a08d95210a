"""A counter's update period, and whether it agrees with the power: on made-up boards."""

from __future__ import annotations

import math
import time

import pytest
import torch
from meter_fakes import FakeNvml, NotSupportedError

from sizer.base.errors import MeterError
from sizer.calibration import meter_check
from sizer.meters.counters import Reading, counter_over_power, disagreement, update_period_s
from sizer.meters.intervals import Windows
from sizer.meters.nvml import NvmlMeter
from sizer.method.training_step import Training


def board(period_s: float = 0.1, watts: float = 300.0, shown: float = 300.0, seconds: float = 2.0) -> list[Reading]:
    """A board that draws ``watts`` and shows ``shown``, with a counter that moves every period, read every ms."""
    times = [step / 1000 for step in range(int(seconds * 1000))]
    return [Reading(time, watts * math.floor(time / period_s + 1e-9) * period_s, shown) for time in times]


@pytest.mark.parametrize("period_s", [0.02, 0.1])
def test_the_period_is_the_time_between_moves(period_s):
    assert update_period_s(board(period_s)) == pytest.approx(period_s, abs=0.001)


def test_a_counter_that_rests_has_no_period():
    assert update_period_s(board(watts=0.0)) is None
    assert update_period_s([]) is None


@pytest.mark.parametrize(("shown", "ratio"), [(300.0, 1.0), (150.0, 2.0), (450.0, 2 / 3)])
def test_the_counter_over_the_power(shown, ratio):
    found = counter_over_power(board(shown=shown))
    assert found == pytest.approx(ratio, rel=1e-3)
    assert (disagreement(found) is None) == (ratio == 1.0)


def test_standing_still_is_a_disagreement():
    assert counter_over_power(board(watts=0.0)) is None
    assert "stood still" in disagreement(None)


def read(*joules: float, watts: float = 10.0) -> list[Reading]:
    """A reading each second."""
    return [Reading(float(second), value, watts) for second, value in enumerate(joules)]


def test_three_moves_are_enough_for_a_period_and_two_are_not():
    assert update_period_s(read(0.0, 1.0, 2.0, 2.0, 3.0)) == 1.5
    assert update_period_s(read(0.0, 1.0, 2.0)) is None


def test_the_ratio_counts_from_the_first_move_to_the_last():
    """What was shown before the first move and after the last is of another time: 20 W there, 10 W in between."""
    powers = [20.0, 10.0, 10.0, 10.0, 20.0, 20.0]
    readings = [Reading(float(at), joules, powers[at]) for at, joules in enumerate([0.0, 7.0, 7.0, 27.0, 47.0, 47.0])]
    assert counter_over_power(readings) == pytest.approx(40.0 / 30.0)
    assert counter_over_power(read(0.0, 7.0, 17.0)) == 1.0
    assert counter_over_power(read(0.0, 7.0)) is None
    assert counter_over_power(read(0.0, 7.0, 6.0)) is None
    assert counter_over_power(read(0.0, 7.0, 17.0, watts=0.0)) is None
    assert counter_over_power(read(0.0, 7.0, 7.5, watts=0.5)) == 1.0
    assert counter_over_power(read(0.0, 7.0, 17.0, 7.0)) is None


@pytest.mark.parametrize("ratio", [1.0, 0.91, 1.09])
def test_a_tenth_off_is_still_agreement(ratio):
    assert disagreement(ratio) is None
    assert disagreement(None) == "the counter or the power stood still under load"
    assert disagreement(1.11).startswith("the counter shows 1.11 times the energy")


class Counting:
    """A meter of a board with its own clock: a step lasts 5 ms; the counter is up to 0.1 s old, and shows a share."""

    edge_period_s = 0.1

    def __init__(self, monkeypatch, share: float = 1.0, fails: bool = False) -> None:
        self.now, self.share, self.fails = 0.0, share, fails
        monkeypatch.setattr(meter_check.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
        monkeypatch.setattr(meter_check, "make_step", lambda case, training, device: self.step)

    def step(self) -> None:
        self.now += 0.005

    def reading(self) -> Reading:
        if self.fails:
            raise MeterError("no power")
        return Reading(self.now, self.share * 300.0 * math.floor(self.now / 0.1 + 1e-9) * 0.1, 300.0)


@pytest.mark.parametrize(
    ("share", "said"), [(1.0, None), (0.5, "joules of cuda:0 are doubtful: the counter shows 0.50")]
)
def test_a_counter_is_held_against_the_power_before_it_meters(monkeypatch, share, said):
    meter = Counting(monkeypatch, share)
    found = meter_check.meter_doubt(meter, "cuda:0", Training())
    assert found is None if said is None else found.startswith(said)
    assert 2.9 < meter.now < 3.2, "a second of load, and two that are compared"


def test_without_a_counter_or_power_there_is_nothing_to_compare(monkeypatch):
    meter = Counting(monkeypatch, fails=True)
    assert meter_check.meter_doubt(meter, "cuda:0", Training()) is None
    meter.edge_period_s = None
    before = meter.now
    assert meter_check.meter_doubt(meter, "cuda:0", Training()) is None
    assert meter_check.meter_doubt(None, "cpu", Training()) is None
    assert meter.now == before


def test_nvml_tells_counter_and_power_together():
    nvml = FakeNvml()
    meter = NvmlMeter(nvml=nvml, environment={})
    before = time.perf_counter()
    assert meter.reading()[1:] == (5000.0, 300.0)
    assert before <= meter.reading().time_s <= time.perf_counter()
    assert Windows(meter).reading()[1:] == (5000.0, 300.0)
    nvml.instant_mw = 450_000
    assert meter.reading().watts == 450.0
    nvml.instant_mw, nvml.power_mw = None, NotSupportedError("Not Supported")
    with pytest.raises(MeterError, match="neither energy nor power"):
        meter.reading()
    nvml.power_mw, nvml.energy_mj[0] = 300_000, NotSupportedError("No Counter")
    with pytest.raises(MeterError, match=r"neither energy nor power .NVML: No Counter.*; use --meter power-model"):
        meter.reading()
