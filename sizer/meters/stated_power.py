"""Joules from power that the user or a profile states. Always labelled estimated: nothing is read."""

from __future__ import annotations

import math
import time

from sizer.base.errors import UsageError
from sizer.meters.protocol import ESTIMATED, Energy, Snapshot, rejected


def check_watts(name: str, watts: float) -> float:
    """A finite number of watts, 0 or more, else a UsageError."""
    if isinstance(watts, bool) or not isinstance(watts, (int, float)) or not math.isfinite(watts) or watts < 0:
        raise UsageError(f"{name} is {watts!r}; expected a number of watts, 0 or more")
    return float(watts)


class PowerModel:
    """Idle and busy power in W: while work runs the machine draws the busy power, else the idle one.

    ``idle_w`` None means not stated. ``basis`` says who stated them. Raises UsageError for watts that are negative, not
    finite, or with more idle than busy power.
    """

    name = "power-model"
    label = ESTIMATED
    minimum_window_s = 0.0
    maximum_window_s: float | None = None

    def __init__(self, busy_w: float, idle_w: float | None = None, basis: str = "stated by the user") -> None:
        self.busy_w = check_watts("busy power", busy_w)
        self.idle_w = None if idle_w is None else check_watts("idle power", idle_w)
        if self.busy_w == 0:
            raise UsageError("busy power is 0 W; expected what the machine draws while it trains")
        if self.idle_w is not None and self.idle_w > self.busy_w:
            raise UsageError(f"idle power ({self.idle_w:g} W) is above busy power ({self.busy_w:g} W); swap them?")
        idle = "" if self.idle_w is None else f", {self.idle_w:g} W idle"
        self.basis = basis
        self.source = f"power model: {self.busy_w:g} W busy{idle} ({basis})"

    @property
    def quantities(self) -> tuple[str, ...]:
        """Idle power and what work adds to it, or the whole where idle power is not stated."""
        return ("busy",) if self.idle_w is None else ("idle", "above idle")

    def snapshot(self) -> Snapshot:
        """The time alone."""
        return Snapshot(time.perf_counter(), time.time())

    def energy(self, start: Snapshot, end: Snapshot) -> Energy:
        """Busy power times the time between the snapshots."""
        seconds = end.time_s - start.time_s
        if seconds < 0:
            return rejected(seconds, ESTIMATED, self.quantities, "its end lies before its start")
        return self.estimate(seconds)

    def estimate(self, busy_s: float, idle_s: float = 0.0) -> Energy:
        """P_busy t_busy + P_idle t_idle; not known where idle power is needed and not stated."""
        seconds = busy_s + idle_s
        if self.idle_w is None:
            if idle_s:
                return Energy(None, seconds, ESTIMATED, {"busy": self.busy_w * busy_s}, ("idle power is not stated",))
            return Energy(self.busy_w * busy_s, seconds, ESTIMATED, {"busy": self.busy_w * busy_s})
        detail = {"idle": self.idle_w * seconds, "above idle": (self.busy_w - self.idle_w) * busy_s}
        return Energy(self.busy_w * busy_s + self.idle_w * idle_s, seconds, ESTIMATED, detail)

    def close(self) -> None:
        """Nothing to let go of."""
