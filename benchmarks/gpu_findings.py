"""What the checks of a GPU find, on which device and how thoroughly, and how they time a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sizer.calibration.measurements import Case
from sizer.calibration.timed_step import StreamClock
from sizer.method.hardware import Device

#: Small, middle, large: one that waits for its program, one in between, one that keeps any GPU busy.
NETWORKS = (
    Case("rectangle", 8, (*[8] * 7, 1), 32),
    Case("rectangle", 256, (*[512] * 3, 10), 256),
    Case("rectangle", 784, (*[4096] * 3, 10), 1024),
)


class Finding(NamedTuple):
    """One value that was found, what it should be, and whether it is (None: there is nothing to compare with)."""

    what: str
    found: Any
    expected: Any = None
    ok: bool | None = None


class Setting(NamedTuple):
    """The device, and whether everything runs at its smallest only."""

    device: Device
    dry: bool

    @property
    def id(self) -> str:
        """The device's name in PyTorch."""
        return self.device.id

    def of(self, full: float, dry: float) -> float:
        """A duration or a count, the smaller one for a dry run."""
        return dry if self.dry else full


def near(what: str, found: float, expected: float, within: float) -> Finding:
    """A value and what it should be within a share."""
    return Finding(what, found, expected, abs(found / expected - 1) <= within)


def by_events(step: Callable[[], None], device: str, steps: int) -> float:
    """Seconds a step by the device's own clock, the least of three series."""
    found = []
    for _ in range(3):
        clock = StreamClock(device)
        clock.mark()
        for _ in range(steps):
            step()
        clock.mark()
        found.append(sum(clock.times_s()) / steps)
    return min(found)
