"""Windows that outlast a meter's longest, and windows that are charged later."""

from __future__ import annotations

import threading
import time

import pytest
from meter_fakes import at

from sizer.meters.counters import Counter, CounterSet
from sizer.meters.intervals import NotedWindows, Windows
from sizer.meters.protocol import MEASURED, Energy, Snapshot


class Wrapping:
    """100 W on a counter that wraps every 20 J; at its bound of 200 W the longest window is 0.1 s."""

    name, label, source, quantities = "rapl", MEASURED, "made up", ("package-0",)
    minimum_window_s = 0.01

    def __init__(self) -> None:
        self._set = CounterSet((Counter("package-0", 1000, 20_000, max_power_w=200.0),), MEASURED, 1e-4, 0.01)
        self.maximum_window_s = self._set.maximum_window_s
        self.closed = False

    def snapshot(self) -> Snapshot:
        now = time.perf_counter()
        return Snapshot(now, now, (int(now * 100_000) % 20_000,))

    def energy(self, start, end):
        return self._set.energy(start, end)

    def close(self):
        self.closed = True


@pytest.fixture
def windows():
    meter = Windows(Wrapping())
    yield meter
    meter.close()


def test_a_window_longer_than_the_longest_is_added_up_from_parts(windows):
    start = windows.snapshot()
    time.sleep(0.5)
    end = windows.snapshot()
    assert Wrapping().energy(start, end).joules is None
    energy = windows.energy(start, end)
    assert energy.joules == pytest.approx(100 * (end.time_s - start.time_s), rel=0.01)
    assert energy.seconds == pytest.approx(end.time_s - start.time_s)
    assert energy.label == MEASURED
    assert windows.maximum_window_s is None


def test_no_part_is_shorter_than_the_meter_allows():
    """A snapshot of the thread that falls just after the start or before the end is left out."""
    meter = Wrapping()
    windows = Windows(meter)
    windows.close()
    windows._between = [at(0.001, 100), at(0.06, 6_000), at(0.099, 9_900)]
    energy = windows.energy(at(0.0, 0), at(0.1, 10_000))
    assert energy.joules == pytest.approx(10.0)
    assert energy.warnings == ()


def test_one_part_that_is_not_known_makes_the_whole_unknown():
    windows = Windows(Wrapping())
    windows.close()
    windows._between = [at(0.05, None, problem="no permission any more")]
    energy = windows.energy(at(0.0, 0), at(0.1, 10_000))
    assert energy.joules is None
    assert "no permission any more" in energy.warnings[0]


def test_the_thread_ends_and_the_meter_stays_open():
    meter = Wrapping()
    before = threading.active_count()
    windows = Windows(meter)
    assert threading.active_count() == before + 1
    windows.close()
    assert threading.active_count() == before
    assert not meter.closed


def test_a_meter_without_a_longest_window_needs_no_thread():
    meter = Wrapping()
    meter.maximum_window_s = None
    before = threading.active_count()
    assert Windows(meter).energy(at(0.0, 0), at(0.1, 10_000)).joules == 10.0
    assert threading.active_count() == before


def test_noted_windows_are_charged_later():
    windows = NotedWindows(Wrapping())
    energy = windows.energy(at(1.0, 0), at(2.0, 5))
    windows.close()
    assert energy == Energy(None, 1.0, MEASURED, {}, ("the log is read when the run is over",))


def test_windows_show_what_their_meter_does():
    meter = Wrapping()
    meter.maximum_window_s = None
    assert (Windows(meter).edge_period_s, Windows(meter).reading) == (None, None)
    meter.edge_period_s = 0.1
    assert Windows(meter).edge_period_s == 0.1


def test_the_thread_reads_twice_in_the_longest_window_and_never_keeps_a_program_from_ending(windows):
    assert windows._thread.daemon
    assert windows._thread._args == (0.05,)


def test_parts_as_short_as_the_meter_allows_count():
    windows = Windows(Wrapping())
    windows.close()
    windows._between = [at(100.125, 2_500), at(100.25, 5_000), at(100.75, 15_000)]
    windows.minimum_window_s = 0.25
    windows._meter.energy = lambda start, end: Energy(1.0, end.time_s - start.time_s, MEASURED)
    assert windows.energy(at(100.0, 0), at(101.0, 20_000)).joules == 3.0
