"""Times on a GPU: marks in its stream, read when the work is over.

A program runs ahead of its GPU: its own clock says when kernels were launched, not when they ran. And waiting for the
GPU after each step, to read that clock, keeps launches from overlapping with kernels.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch


class StreamClock:
    """The time between marks in the current stream of a CUDA device, by the device's own clock.

    A mark waits for nothing. While a stream captures a graph no mark may be made, since it would become a part of the
    graph: such a mark is passed over, and the intervals that it ends and begins are not known.
    """

    def __init__(self, device: str | torch.device) -> None:
        self._device = torch.device(device)
        self._marks: list[Any] = []

    def mark(self) -> None:
        """Note where the stream is."""
        if torch.cuda.is_current_stream_capturing():
            self._marks.append(None)
            return
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        self._marks.append(event)

    def wait_for(self, mark: int) -> None:
        """Wait until the device has passed a mark, -2 for the last but one; does nothing where there is none."""
        if -len(self._marks) <= mark < len(self._marks) and self._marks[mark] is not None:
            self._marks[mark].synchronize()

    def times_s(self) -> list[float]:
        """The intervals between neighbouring marks in s, unknown ones left out. Waits once, for the last mark."""
        last = next((event for event in reversed(self._marks) if event is not None), None)
        if last is not None:
            last.synchronize()
        known = [pair for pair in pairwise(self._marks) if None not in pair]
        return [float(before.elapsed_time(after)) / 1000 for before, after in known]
