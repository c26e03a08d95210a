"""Where slices of trials run: one protocol, and the engine that runs them in this process.

An engine decides nothing: the search submits slices, each with the checkpoint it goes on from, and collects results in
the order in which they were submitted, so that the same decisions follow whatever finished first.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from sizer.meters.protocol import Meter
from sizer.size_search.data.task import CustomTask, Task
from sizer.size_search.trials.custom import Running
from sizer.size_search.trials.slices import Slice, SliceResult
from sizer.size_search.trials.trial import run_slice


class Engine(Protocol):
    """Runs slices of trials of one task."""

    @property
    def workers(self) -> int:
        """How many slices run at a time."""

    def submit(self, job: Slice) -> None:
        """Queue a slice. Returns at once where slices run elsewhere."""

    def collect(self) -> SliceResult:
        """The result of the slice submitted first of those not collected yet; waits for it."""

    def close(self) -> None:
        """Let go of processes and connections. Slices that still run are given up."""


class LocalEngine:
    """Runs each slice in this process when its result is asked for."""

    def __init__(self, task: Task | CustomTask, meter: Meter | None = None) -> None:
        self._task = task
        self._meter = meter
        self._queue: deque[Slice] = deque()
        self._running: Running = {}

    @property
    def workers(self) -> int:
        """One: slices run one after the other."""
        return 1

    def submit(self, job: Slice) -> None:
        """Queue a slice."""
        self._queue.append(job)

    def collect(self) -> SliceResult:
        """Run the slice submitted first."""
        return run_slice(self._task, self._queue.popleft(), self._meter, self._running)

    def close(self) -> None:
        """Forget what was not collected."""
        self._queue.clear()
