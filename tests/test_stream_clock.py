"""Marks in a GPU's stream: no wait but the last, and none while a graph is captured."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from sizer.calibration.timed_step import StreamClock
from sizer.hook import watching
from sizer.script_runs.measuring import DeviceStepClock


@pytest.fixture
def stream(monkeypatch):
    """Events a second apart, and what was asked of them."""
    asked: list[str] = []
    seconds = itertools.count()

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self, stream):
            asked.append(f"record {stream}")
            self.at = next(seconds)

        def synchronize(self):
            asked.append(f"wait {self.at}")

        def elapsed_time(self, later):
            return 1000.0 * (later.at - self.at)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"of {device}")
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    return asked


def test_only_the_end_is_waited_for(stream):
    clock = StreamClock("cuda:1")
    for _ in range(4):
        clock.mark()
    assert stream == ["record of cuda:1"] * 4
    assert clock.times_s() == [1.0, 1.0, 1.0]
    assert stream[4:] == ["wait 3"]


def test_nothing_is_recorded_while_a_graph_is_captured(stream, monkeypatch):
    clock = StreamClock("cuda:0")
    clock.mark()
    clock.mark()
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    clock.mark()
    assert len(stream) == 2
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    clock.mark()
    assert clock.times_s() == [1.0]


def test_waiting_for_a_mark_that_is_not_there_is_nothing(stream):
    clock = StreamClock("cuda:0")
    clock.wait_for(-2)
    assert (stream, clock.times_s()) == ([], [])


def test_a_steps_parts_are_charged_by_the_devices_clock(stream, monkeypatch):
    """Marks are a second apart by the device; that the host needs none of it does not matter."""
    clock = DeviceStepClock(torch.device("cuda:0"))
    optimizer = clock.enter("optimizer")
    clock.leave(clock.enter("forward"))
    clock.leave(optimizer)
    clock.end_of_step()
    clock.end_of_others()
    clock.end_of_step(whole=False)
    clock.end_of_step()
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    clock.end_of_step()
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    clock.end_of_others()
    clock.end_of_step()
    clock.end_of_step()
    assert clock.num_steps == 5
    assert not any(asked.startswith("wait") for asked in stream)
    assert clock.steps() == [(0, 1, 0, 2, 0, 2), (0, 0, 0, 0, 0, 1), (0, 0, 0, 0, 0, 1)]
    assert [asked for asked in stream if asked.startswith("wait")] == [f"wait {len(stream) - 2}"]


def test_measuring_on_a_gpu_takes_events_and_waits_once(stream, monkeypatch, capsys):
    monkeypatch.setattr(watching, "_device_of", lambda optimizer: torch.device("cuda:0"))
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watching.Watch(measure=3) as watch:
        for _ in range(9):
            optimizer.zero_grad()
            model(torch.rand(16, 6)).square().mean().backward()
            optimizer.step()
    assert watch.record.measured.clock == "device"
    assert (watch.record.measured.steps, watch.measured_s) == (3, 7.0)  # (two marks a part, one at the step's end)
    assert [asked.split()[0] for asked in stream].count("wait") == 1
    assert "of that time, by the GPU's own clock: 14 % forward" in " ".join(capsys.readouterr().err.split())
