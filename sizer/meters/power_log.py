"""Energy of a stretch of time from logged power samples: sample-and-hold, as the study does it. Pure.

Source: the reference README. Each sample is held until the next one (not interpolated), cut at the run's start and end.
Rejected are runs with no sample, with fewer than duration / period - 1 samples (the study's period is 60 s), or with
any 0 W inside; and, beyond the study, runs that a gap, the log's end or a clock that went back touches.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sizer.base.units import counted
from sizer.meters.protocol import MEASURED, Energy, rejected
from sizer.meters.timestamps import utc_text

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: A sample is held this many periods at most: the study accepts one missing sample, a hold of two; plus jitter.
MAX_HOLD_PERIODS = 3.0
WALL = "wall"
_ZONE_HOURS = tuple(sorted((hours for hours in range(-14, 15) if hours), key=abs))


@dataclass(frozen=True)
class PowerLog:
    """Power samples in order of time: Unix seconds and W; ``period_s`` is the usual step between them.

    ``disorders`` are the stretches over which the log's clock went back or stood still (from, to), ``twice`` those in
    an hour that comes twice of which the log does not tell which it is. ``bad`` are the times of rows without a usable
    power, with the row. ``taken`` says what was taken for what, ``order`` that of the dates; ``others`` are readings of
    the same file with its dates in another order that fits as well. ``warnings`` are about the log as a whole.
    """

    times_s: tuple[float, ...]
    watts: tuple[float, ...]
    period_s: float
    disorders: tuple[tuple[float, float], ...] = ()
    source: str = "power log"
    warnings: tuple[str, ...] = ()
    bad: tuple[tuple[float, str], ...] = ()
    twice: tuple[tuple[float, float], ...] = ()
    taken: str | None = None
    order: str | None = None
    others: tuple[PowerLog, ...] = ()

    @property
    def covers_s(self) -> tuple[float, float]:
        """First and last moment the log speaks for: the last sample is held for one period."""
        return self.times_s[0], self.times_s[-1] + self.period_s


def power_log(
    samples: Iterable[tuple[float, float]],
    period_s: float | None = None,
    source: str = "power log",
    warnings: Sequence[str] = (),
    bad: Sequence[tuple[float, str]] = (),
) -> PowerLog | None:
    """A log from (Unix seconds, W) in the order they were written; None without any sample.

    A sample written twice, equal in time and power, counts once. ``period_s`` None means the median step. ``bad`` are
    times at which a row holds no power, with the row.
    """
    written = list(dict.fromkeys(samples))
    if not written:
        return None
    disorders = []
    newest = -math.inf
    for time_s, _ in written:
        if time_s <= newest:
            disorders.append((time_s, newest))
        newest = max(newest, time_s)
    in_order = sorted(written)
    times = tuple(time_s for time_s, _ in in_order)
    period = _median_step(sorted([*times, *(time_s for time_s, _ in bad)])) if period_s is None else period_s
    watts = tuple(watts for _, watts in in_order)
    return PowerLog(times, watts, period, tuple(disorders), source, tuple(warnings), tuple(sorted(bad)))


def _median_step(times: Sequence[float]) -> float:
    """The median of the steps above 0, nan where there is none."""
    steps = sorted(later - earlier for earlier, later in pairwise(times) if later > earlier)
    return (steps[(len(steps) - 1) // 2] + steps[len(steps) // 2]) / 2 if steps else math.nan


def held_energy(times: Any, watts: Any, starts: Any, ends: Any) -> npt.NDArray[np.float64]:
    """Energy of each run from the samples of one log, sample and hold (paper section 4), in W x the unit of the times.

    ``times`` (rising) and ``watts`` have shape (samples,), ``starts`` and ``ends`` shape (runs,). Each sample is held
    until the next one, cut at the run's start and end; the first stands in for what lies before it. Whole watts over
    whole times are summed exactly.
    """
    import numpy as np

    time, power, start, end = map(np.asarray, (times, watts, starts, ends))
    first = np.maximum(np.searchsorted(time, start, side="right") - 1, 0)
    last = np.maximum(np.searchsorted(time, end, side="left") - 1, first)
    whole = np.append(power[:-1] * np.diff(time), 0.0)
    # reduceat sums whole[a:b] of each pair (a, b); where a == b it answers with one element, which does not count.
    sums = np.add.reduceat(whole, np.stack([first, last], axis=1).ravel())[::2]
    ends_held = power[last] * (end - time[last]) - power[first] * (start - time[first])
    return np.asarray(np.where(last > first, sums, 0.0) + ends_held)


def energy_between(log: PowerLog, start_s: float, end_s: float) -> Energy:
    """The energy from ``start_s`` to ``end_s`` (Unix seconds): the sum of P_i times the time that sample i is held.

    A run that starts up to a period before the log does is charged at the first sample's power for that time, with a
    warning. Rejected (joules None, the reason as a warning) as the module says.
    """
    log = _overlapping(log, start_s, end_s)
    seconds = end_s - start_s
    reason = _problem(log, start_s, end_s)
    if reason is not None:
        energy = rejected(seconds, MEASURED, (WALL,), reason)
        return replace(energy, warnings=(*energy.warnings, *log.warnings))
    held = slice(*_span(log, start_s, end_s))
    joules = float(held_energy(log.times_s[held], log.watts[held], [start_s], [end_s])[0])
    return Energy(joules, seconds, MEASURED, {WALL: joules}, (*log.warnings, *_late_start(log, start_s)))


def _overlapping(log: PowerLog, start_s: float, end_s: float) -> PowerLog:
    """Of readings with different orders of dates the one that the run lies in, with a word about it."""
    if not log.others:
        return log
    covers = [one for one in (log, *log.others) if one.times_s[0] < end_s and start_s < one.covers_s[1]]
    if len(covers) == 1:
        order = f"they are read as those of the run ({covers[0].order})"
        note = f"the dates of the {log.source} fit more than one order; {order}"
        return replace(covers[0], warnings=(*covers[0].warnings, note), others=())
    return replace(log, others=tuple(covers))


def _late_start(log: PowerLog, start_s: float) -> tuple[str, ...]:
    late = log.times_s[0] - start_s
    return (f"the log begins {late:.3g} s after the run; its first sample is used for that time",) if late > 0 else ()


def _span(log: PowerLog, start_s: float, end_s: float) -> tuple[int, int]:
    """Indices (first, past the last) of the samples held at some time of the run, the one before its start included."""
    return max(0, bisect_right(log.times_s, start_s) - 1), bisect_left(log.times_s, end_s)


def _problem(log: PowerLog, start_s: float, end_s: float) -> str | None:
    """Why a run cannot be charged from this log, or None."""
    if not end_s > start_s:
        return f"the run ends ({utc_text(end_s)}) before it starts ({utc_text(start_s)})"
    begins, ends = log.covers_s
    if math.isnan(log.period_s):
        return f"the log has a single sample, at {utc_text(begins)}; name its period to use it"
    if end_s <= begins or start_s >= ends:
        return (
            f"the log covers {utc_text(begins)} to {utc_text(ends)}, the run lasted from {utc_text(start_s)} to "
            f"{utc_text(end_s)}: they do not overlap; {_zone_hint(log, start_s, end_s)}"
        )
    if log.others:
        return (
            f"the dates of the {log.source} fit more than one order, and the run lies in several; write year-month-day"
        )
    return (
        _bad(log, start_s, end_s)
        or _twice(log, start_s, end_s)
        or _zero(log, start_s, end_s)
        or _disorder(log, start_s, end_s)
        or _gap(log, start_s, end_s)
        or _too_few(log, start_s, end_s)
    )


def _zone_hint(log: PowerLog, start_s: float, end_s: float) -> str:
    """What to check where a log does not cover a run: the time zone, if whole hours would make it do so."""
    begins, ends = log.covers_s
    for hours in _ZONE_HOURS:
        if begins + 3600 * hours <= start_s and end_s <= ends + 3600 * hours:
            return f"they would at {hours:+d} h, so its times may be of another time zone: name it with time_zone"
    return "check that it is this run's log, and both clocks"


def _bad(log: PowerLog, start_s: float, end_s: float) -> str | None:
    """A row without a power whose time, up to the next sample, is in the run."""
    for time_s, row in log.bad:
        after = bisect_right(log.times_s, time_s)
        until = log.times_s[after] if after < len(log.times_s) else time_s + log.period_s
        if time_s < end_s and until > start_s:
            return f"the sample of {utc_text(time_s)} is no power: {row}"
    return None


def _twice(log: PowerLog, start_s: float, end_s: float) -> str | None:
    for since, until in log.twice:
        if since < end_s and until > start_s:
            return (
                f"the log's times from {utc_text(since)} on come twice, as clocks are put back then, and it does not "
                "tell which they are; log in UTC, or name the offset of these times with --log-time-zone (+02:00)"
            )
    return None


def _zero(log: PowerLog, start_s: float, end_s: float) -> str | None:
    first, last = _span(log, start_s, end_s)
    for time_s, watts in zip(log.times_s[first:last], log.watts[first:last], strict=True):
        if not watts > 0:
            return f"the sample of {utc_text(time_s)} is {watts:g} W; check the wattmeter"
    return None


def _disorder(log: PowerLog, start_s: float, end_s: float) -> str | None:
    for earlier, later in log.disorders:
        if earlier <= end_s and later >= start_s:
            if earlier == later:
                return f"two different samples have the time {utc_text(earlier)}; check the log"
            went_back = f"after {utc_text(later)} it goes back to {utc_text(earlier)}"
            return f"the log is out of order: {went_back}; was its clock set?"
    return None


def _gap(log: PowerLog, start_s: float, end_s: float) -> str | None:
    """A part of the run for which no sample is held, or one for too long."""
    usual = f"one is expected every {log.period_s:.4g} s"
    begins = log.times_s[0]
    if begins - start_s > log.period_s:
        late = f"the log begins at {utc_text(begins)}, {begins - start_s:.4g} s after the run; {usual}"
        return f"{late}; {_zone_hint(log, start_s, end_s)}"
    first, last = _span(log, start_s, end_s)
    for since, until in pairwise([*log.times_s[first:last], end_s]):
        if until - since > MAX_HOLD_PERIODS * log.period_s:
            if since == log.times_s[-1]:
                early = f"the log ends at {utc_text(since)}, {until - since:.4g} s before the run"
                return f"{early}; {_zone_hint(log, start_s, end_s)}"
            return f"the log has a gap of {until - since:.4g} s after {utc_text(since)}; {usual}"
    return None


def _too_few(log: PowerLog, start_s: float, end_s: float) -> str | None:
    inside = bisect_left(log.times_s, end_s) - bisect_left(log.times_s, start_s)
    expected = (end_s - start_s) / log.period_s - 1
    if inside > 0 and inside >= expected:
        return None
    return (
        f"{counted(inside, 'sample')} inside a run of {end_s - start_s:.4g} s, expected at least "
        f"{max(1, math.ceil(expected))}; the log has one every {log.period_s:.4g} s"
    )
