"""Where values fall on an axis, and which round values are written beside it. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sizer.report.charts.figure import Axis

_STEPS = (1.0, 2.0, 5.0)
#: Share of the axis left free at each end.
_MARGIN = 0.04


class Scale(NamedTuple):
    """From values between ``low`` and ``high`` to places between ``start`` and ``end``, in units of the picture."""

    low: float
    high: float
    log: bool
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], axis: Axis, start: float, end: float) -> Scale:
        """A scale on which all values, and those that the axis must show, have room; they must be finite."""
        low, high = min((*values, *axis.within)), max((*values, *axis.within))
        if axis.log:
            room = max(math.log(high / low) * _MARGIN, 0.02)
            return cls(low * math.exp(-room), high * math.exp(room), True, start, end)
        room = (high - low) * _MARGIN or abs(high) * _MARGIN or 1.0
        return cls(low - room, high + room, False, start, end)

    def at(self, value: float) -> float:
        """The place of a value."""
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def holds(self, value: float) -> bool:
        """Whether a value lies on the scale."""
        return self.low <= value <= self.high


def ticks(scale: Scale, axis: Axis, most: int) -> list[tuple[float, str]]:
    """At most so many values on the scale with their text."""
    if axis.ticks:
        named = [(value, text) for value, text in axis.ticks if scale.holds(value)]
        step = math.ceil(len(named) / most)
        return named[::step]
    if not scale.log:
        values = list(_linear(scale, most))
    elif axis.unit == "bytes":
        values = list(_powers(scale, 2.0, most))
    else:
        values = _decades(scale, most)
    return [(value, axis.text(value)) for value in values]


def _linear(scale: Scale, most: int) -> Iterator[float]:
    """Round values at equal steps of 1, 2 or 5 times a power of ten."""
    rough = (scale.high - scale.low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((power * each for each in (*_STEPS, 10.0) if power * each >= rough), power * 10)
    for index in range(math.ceil(scale.low / step), math.floor(scale.high / step) + 1):
        yield index * step


def _powers(scale: Scale, base: float, most: int) -> Iterator[float]:
    first, last = math.ceil(math.log(scale.low, base)), math.floor(math.log(scale.high, base))
    step = max(1, math.ceil((last - first + 1) / most))
    for exponent in range(first, last + 1, step):
        yield base**exponent


def _decades(scale: Scale, most: int) -> list[float]:
    """Powers of ten where there are at least three, else 1, 2 and 5 of each, else equal steps."""
    tens = list(_powers(scale, 10.0, most))
    if len(tens) >= 3:
        return tens
    first, last = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
    fine = [10.0**exponent * step for exponent in range(first, last + 1) for step in _STEPS]
    fine = [value for value in fine if scale.holds(value)]
    if 3 <= len(fine) <= most + 2:
        return fine
    return tens if len(fine) > most + 2 else list(_linear(scale._replace(log=False), most))
