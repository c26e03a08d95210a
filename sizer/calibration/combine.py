"""Several sessions of one machine as one: which were quiet, at which speed, what each network takes. Pure.

A session's speed is that of its reference steps; for files without them it is that of the networks which sessions
share. The values that are fitted are those of the quiet sessions at the machine's usual speed alone, so that a session
that was disturbed adds nothing and spoils nothing.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from sizer.calibration.disturbance import (
    ANOTHER_SPEED,
    ENOUGH,
    QUIET_HIGH_BY,
    Quietness,
    disturbed,
    of_steps,
    quietness,
)
from sizer.calibration.measurements import Case, Measurements, Timing
from sizer.method.placement import FloatArray

#: A session slower than the fastest of its speed by more than this was disturbed: two quiet ones in
#: docs/benchmarks.md agree within 0.1 %, the disturbed one there is 4.5 % above them.
_AS_QUIET = 1.03
#: Sessions further apart than this, in s, are at different moments: a state lasts for seconds to minutes.
_ANOTHER_MOMENT_S = 600.0
#: Networks that two sessions without reference steps must share to be compared.
_FEWEST_SHARED = 20
#: So many more sessions at a slower speed than at the fastest make the slower one the usual: a neighbour who is there
#: for two sessions of three is no state of the machine.
_USUAL_BY = 2


@dataclass(frozen=True)
class Session:
    """A session reduced to its values.

    ``values_s`` is each network's quiet time of a step in s, ``timings`` what it is of, ``settled`` the networks with a
    timing that was not disturbed, ``quietness`` None without reference steps.
    """

    date: str
    values_s: Mapping[Case, float]
    timings: Mapping[Case, Sequence[Timing]]
    settled: frozenset[Case]
    quietness: Quietness | None

    @classmethod
    def of(cls, measurements: Measurements) -> Session:
        """The values of a measurement file."""
        measured = measurements.measured()
        found = quietness(measurements.timings)
        levels = {} if found is None else found.levels_s
        timings = {measurements.plan[case]: of_case for case, of_case in measured.items()}
        return cls(
            str(measurements.settings.get("date", "")),
            {case: min(timing.step_s for timing in of_case) for case, of_case in timings.items()},
            timings,
            frozenset(case for case, each in timings.items() if not all(disturbed(one, levels) for one in each)),
            found,
        )

    def without_room(self) -> Session:
        """The same session on a machine whose threads are known to be no faster at other moments."""
        return self if self.quietness is None else replace(self, quietness=replace(self.quietness, room=1.0))

    def ratio_to(self, other: Session) -> float | None:
        """How many times the other session's time steps take in this one; None where nothing tells."""
        if self.quietness is not None and other.quietness is not None:
            return _of_references(self.quietness.levels_s, other.quietness.levels_s)
        shared = [self.values_s[case] / other.values_s[case] for case in self.values_s if case in other.values_s]
        return float(np.median(shared)) if len(shared) >= _FEWEST_SHARED else None


def _of_references(levels_s: Mapping[str, float], others_s: Mapping[str, float]) -> float | None:
    """By what networks' steps differ for the reference step that says most: one thread is steady where two are not."""
    ratios = [of_steps(name, levels_s[name] / others_s[name]) for name in levels_s if name in others_s]
    return max(ratios, key=lambda ratio: abs(math.log(ratio)), default=None)


class Speed(NamedTuple):
    """A speed of the machine: how many times the usual time it takes, and how many sessions ran at it.

    ``terms`` are what steps cost at it, in s; None for the usual speed, whose terms are the calibration's, and where
    too few networks were timed.
    """

    factor: float
    sessions: int
    usual: bool
    terms: Mapping[str, float] | None = None


class SessionSummary(NamedTuple):
    """A session as records show it.

    ``factor`` is how many times the usual time it took, None where nothing compares it; ``quiet``, ``disturbed_share``
    and ``high_by`` are None for files without reference steps; ``used`` says whether its values are in the fit;
    ``room`` is how many times faster all threads together may be at another moment, None where nothing says so.
    """

    date: str
    networks: int
    factor: float | None
    quiet: bool | None
    disturbed_share: float | None
    high_by: float | None
    used: bool
    room: float | None = None

    @property
    def seen_high_by(self) -> float:
        """Share by which its values may be too high for what its reference steps showed; 0 where none says."""
        return 0.0 if self.high_by is None else (1 + self.high_by) / (self.room or 1.0) - 1


class Combined(NamedTuple):
    """What sessions say together.

    The networks with their quiet time of a step in s, shape (N,), and their timings; ``elsewhere`` the values of the
    networks at the machine's other speeds, in s, ``by_speed`` the same put together for each of ``speeds``; ``high_by``
    by how much the values may be too high.
    """

    cases: tuple[Case, ...]
    step_s: FloatArray
    timings: tuple[Sequence[Timing], ...]
    elsewhere: tuple[Mapping[Case, float], ...]
    by_speed: tuple[Mapping[Case, float], ...]
    speeds: tuple[Speed, ...]
    sessions: tuple[SessionSummary, ...]
    quietness: Quietness | None
    used: tuple[int, ...]

    @property
    def high_by(self) -> float:
        """Share by which values may be too high, where no session was quiet; 0 where one was, or none says."""
        return 0.0 if self.quietness is None or self.quietness.quiet else self.quietness.high_by


def combine(measured: Sequence[Measurements], fewest: int) -> Combined:
    """Put sessions of one machine together, the newest last; ``fewest`` networks are kept whatever disturbed them."""
    sessions = _known_apart([Session.of(each) for each in measured])
    factors = _factors(sessions)
    groups = _held(_groups(factors), sessions)
    usual = _usual(groups)
    base = min(factors[index] or 1.0 for index in usual)
    used = _quiet_ones(sessions, factors, usual)
    relative = [None if factor is None else factor / base for factor in factors]
    values, timings = _merged([(sessions[index], (relative[index] or 1.0)) for index in used], fewest)
    speeds = tuple(_speed(group, factors, base, group is usual) for group in groups)
    return Combined(
        tuple(values),
        np.array(list(values.values())),
        tuple(timings[case] for case in values),
        tuple(sessions[index].values_s for group in groups if group is not usual for index in group),
        tuple(_median_values([sessions[index] for index in group]) for group in groups),
        speeds if len(speeds) > 1 else (),
        tuple(_summary(*each, used) for each in zip(range(len(sessions)), sessions, relative, strict=True)),
        sessions[used[-1]].quietness if len(used) == 1 else _quietest(sessions, used),
        tuple(used),
    )


def _known_apart(sessions: Sequence[Session]) -> list[Session]:
    """The sessions, without the room of those with which one at another moment agrees: the machine is so always."""
    return [
        each if each.quietness is None or not any(_agree(each, other) for other in sessions) else each.without_room()
        for each in sessions
    ]


def _agree(one: Session, other: Session) -> bool:
    """Whether all threads together gain the same in two sessions that are some time apart."""
    if one.quietness is None or other.quietness is None or not apart(one.date, other.date):
        return False
    rooms = one.quietness.room, other.quietness.room
    return max(rooms) <= ANOTHER_SPEED * min(rooms)


def apart(date: str, other: str) -> bool:
    """Whether two dates are so far apart that a state of the machine has hardly lasted."""
    try:
        dates = [datetime.datetime.fromisoformat(each) for each in (date, other)]
        return abs((dates[0] - dates[1]).total_seconds()) >= _ANOTHER_MOMENT_S
    except (TypeError, ValueError):
        return False


def _factors(sessions: Sequence[Session]) -> list[float | None]:
    """How many times the newest session's time each took; None where nothing tells."""
    return [1.0 if each is sessions[-1] else each.ratio_to(sessions[-1]) for each in sessions]


def _groups(factors: Sequence[float | None]) -> list[list[int]]:
    """Positions of the sessions of each speed, the fastest speed first; those that nothing compares left out."""
    known = sorted((factor, index) for index, factor in enumerate(factors) if factor is not None)
    groups = [[known[0][1]]]
    for (before, _), (factor, index) in pairwise(known):
        if factor > before * ANOTHER_SPEED:
            groups.append([])
        groups[-1].append(index)
    return groups


def _held(groups: Sequence[list[int]], sessions: Sequence[Session]) -> list[list[int]]:
    """The groups at whose speed the machine is by itself: a session's networks were timed while nothing disturbed it.

    Where others used the machine from the first moment to the last even its quickest samples are at their mercy: that
    is no speed of the machine, and an interval that covered it would say nothing. Without any such session it is the
    group of the one that was disturbed least.
    """
    least = [min(_seen_high_by(sessions[index]) for index in group) for group in groups]
    held = [group for group, high_by in zip(groups, least, strict=True) if high_by <= QUIET_HIGH_BY]
    return held or [groups[least.index(min(least))]]


def _usual(groups: Sequence[list[int]]) -> list[int]:
    """The group of the speed that is predicted: the fastest, unless a slower one has clearly more sessions."""
    most = max(groups, key=len)
    return most if len(most) >= len(groups[0]) + _USUAL_BY else groups[0]


def _quiet_ones(sessions: Sequence[Session], factors: Sequence[float | None], group: Sequence[int]) -> list[int]:
    """Of a group, the sessions that were quiet and about as fast as the fastest; else the least disturbed one."""
    fastest = min(factors[index] or 1.0 for index in group)
    fast = [index for index in group if (factors[index] or 1.0) <= fastest * _AS_QUIET]
    quiet = sorted(index for index in fast if _high_by(sessions[index]) == 0.0)
    return quiet or [min(fast, key=lambda index: _high_by(sessions[index]))]


def _high_by(session: Session) -> float:
    """Share by which a session's values may be too high, 0 for a quiet one."""
    return 0.0 if session.quietness is None or session.quietness.quiet else session.quietness.high_by


def _seen_high_by(session: Session) -> float:
    """Share by which its values may be too high for what its reference steps showed, 0 where there are none."""
    return 0.0 if session.quietness is None else session.quietness.seen_high_by


def _merged(used: Sequence[tuple[Session, float]], fewest: int) -> tuple[dict[Case, float], dict[Case, list[Timing]]]:
    """Each network's median over sessions of its value by the session's factor, with all its timings.

    Values of fewer than `ENOUGH` timings count only where there is no other; networks that were disturbed each time
    only where too few others are left.
    """
    values: dict[Case, list[float]] = {}
    timings: dict[Case, list[Timing]] = {}
    for session, factor in used:
        for case, value in session.values_s.items():
            timings.setdefault(case, []).extend(session.timings[case])
            values.setdefault(case, [])
            if len(session.timings[case]) >= ENOUGH or not _timed_well_elsewhere(case, session, used):
                values[case].append(value / factor)
    settled = frozenset().union(*(session.settled for session, _ in used))
    kept = [case for case in values if case in settled]
    kept = kept if len(kept) >= fewest else list(values)
    return {case: float(np.median(values[case])) for case in kept}, timings


def _median_values(sessions: Sequence[Session]) -> dict[Case, float]:
    """Each network's median over sessions, in s."""
    cases = dict.fromkeys(case for session in sessions for case in session.values_s)
    values = {case: [each.values_s[case] for each in sessions if case in each.values_s] for case in cases}
    return {case: float(np.median(of_case)) for case, of_case in values.items()}


def _timed_well_elsewhere(case: Case, session: Session, used: Sequence[tuple[Session, float]]) -> bool:
    return any(len(other.timings.get(case, ())) >= ENOUGH for other, _ in used if other is not session)


def _speed(group: Sequence[int], factors: Sequence[float | None], base: float, usual: bool) -> Speed:
    factor = float(np.median([factors[index] or 1.0 for index in group])) / base
    return Speed(1.0 if usual else factor, len(group), usual)


def _quietest(sessions: Sequence[Session], used: Sequence[int]) -> Quietness | None:
    found = [each for each in (sessions[index].quietness for index in used) if each is not None]
    return min(found, key=lambda each: each.high_by, default=None)


def _summary(index: int, session: Session, factor: float | None, used: Sequence[int]) -> SessionSummary:
    found = session.quietness
    summary = SessionSummary(session.date, len(session.values_s), factor, None, None, None, index in used)
    if found is None:
        return summary
    room = found.room if found.room > ANOTHER_SPEED else None
    return summary._replace(quiet=found.quiet, disturbed_share=found.disturbed_share, high_by=found.high_by, room=room)
