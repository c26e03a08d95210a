"""Windows of any length: metered in parts where a counter would wrap, or noted now and charged from a log later.

Both are meters over another meter.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise

from sizer.meters.counters import Reading
from sizer.meters.protocol import Energy, Meter, Snapshot, add_up


class Windows:
    """A meter without a longest window: a thread takes snapshots in between, and the parts are added up."""

    maximum_window_s: float | None = None

    def __init__(self, meter: Meter) -> None:
        self.name, self.source, self.label = meter.name, meter.source, meter.label
        self.quantities, self.minimum_window_s = meter.quantities, meter.minimum_window_s
        self.edge_period_s: float | None = getattr(meter, "edge_period_s", None)
        self.reading: Callable[[], Reading] | None = getattr(meter, "reading", None)
        self._meter = meter
        self._between: list[Snapshot] = []
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        if meter.maximum_window_s is not None:
            # Half of the longest: two neighbouring snapshots stay within it when one of them comes late.
            self._thread = threading.Thread(target=self._watch, args=(meter.maximum_window_s / 2,), daemon=True)
            self._thread.start()

    def _watch(self, period_s: float) -> None:
        while not self._stopped.wait(period_s):
            self._between.append(self._meter.snapshot())

    def snapshot(self) -> Snapshot:
        """Read the meter now."""
        return self._meter.snapshot()

    def energy(self, start: Snapshot, end: Snapshot) -> Energy:
        """The energy between two snapshots, the parts added up. Not known where one of the parts is not."""
        shortest = self.minimum_window_s
        inside = [
            one
            for one in self._between
            if one.time_s - start.time_s >= shortest and end.time_s - one.time_s >= shortest
        ]
        return add_up([self._meter.energy(*part) for part in pairwise([start, *inside, end])])

    def close(self) -> None:
        """Stop the thread. The meter stays open: who opened it closes it."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)


class NotedWindows(Windows):
    """Windows that are only noted: a log may end before the run does, and is charged when all of it is written."""

    def energy(self, start: Snapshot, end: Snapshot) -> Energy:
        """Not known yet."""
        return Energy(None, end.time_s - start.time_s, self.label, {}, ("the log is read when the run is over",))
