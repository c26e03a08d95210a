"""Marks in a GPU's stream: no wait but the last, and none while a graph is captured."""

from __future__ import annotations

import itertools

import pytest
import torch

from sizer.calibration.timed_step import StreamClock


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
