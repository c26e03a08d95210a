"""The meter of a machine without one: it times, and its joules are None."""

from __future__ import annotations

import time

from sizer.meters.protocol import UNKNOWN, Energy, Snapshot


class NullMeter:
    """No meter. ``reason`` says why, so that a report can."""

    name = "none"
    label = UNKNOWN
    quantities: tuple[str, ...] = ()
    minimum_window_s = 0.0
    maximum_window_s: float | None = None

    def __init__(self, reason: str = "none was asked for") -> None:
        self.source = f"no energy meter: {reason}"

    def snapshot(self) -> Snapshot:
        """The time alone."""
        return Snapshot(time.perf_counter(), time.time())

    def energy(self, start: Snapshot, end: Snapshot) -> Energy:
        """Seconds without joules."""
        return Energy(None, end.time_s - start.time_s, UNKNOWN, {}, (self.source,))

    def close(self) -> None:
        """Nothing to let go of."""
