"""Taking the timings of a plan: in rounds, interleaved in random order, each one kept as it is taken.

Drift and neighbours then hit all networks alike. The first round decides how many of the planned networks the time pays
for; the others time the same ones again. Reference steps are timed before and after each network and tell which timings
were disturbed: those are taken again at the end of their round, and after the rounds until each network has enough that
were not, while time lasts. Where a meter measures, one more round runs under it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from sizer.base.errors import MeasurementError, MeterError
from sizer.base.storage import JsonLines
from sizer.calibration import plan as planning
from sizer.calibration.disturbance import ANOTHER_SPEED, disturbed, quiet_levels, room, unsettled
from sizer.calibration.measurements import Case, Measurements, Timing
from sizer.calibration.reference_steps import ReferenceSteps
from sizer.calibration.session import METER_SHARE, MIN_METERED, Session
from sizer.calibration.timed_step import time_run
from sizer.meters.choosing import MeterOptions
from sizer.meters.intervals import Windows
from sizer.meters.power_log import PowerLog, energy_between
from sizer.meters.wattmeter_csv import read_power_log, source_line


def charged(measurements: Measurements, options: MeterOptions) -> Measurements:
    """The measurements with the joules of every metered run that the log tells, where one is given.

    Raises MeterError for a log that cannot be read, UsageError for a column or time zone that does not exist.
    """
    if options.log_path is None:
        return measurements
    log = read_power_log(options.log_path, options.log_format)
    timings = tuple(_charged(timing, log) for timing in measurements.timings)
    return replace(measurements, timings=timings, settings={**measurements.settings, "meter_source": source_line(log)})


def _charged(timing: Timing, log: PowerLog) -> Timing:
    if timing.window_unix_s is None:
        return timing
    energy = energy_between(log, *timing.window_unix_s)
    if energy.joules is None:
        return timing._replace(energy_j=None, problem="; ".join(energy.warnings))
    return timing._replace(energy_j=energy.joules / timing.steps, problem=None)


def step_energies(sessions: Iterable[Measurements]) -> dict[Case, float]:
    """The median energy of a step in J of each network of which a run's is known in any of the sessions."""
    known: dict[Case, list[float]] = {}
    for session in sessions:
        for timing in session.timings:
            if timing.energy_j is not None:
                known.setdefault(session.plan[timing.case], []).append(timing.energy_j)
    return {case: float(np.median(joules)) for case, joules in known.items()}


def why_not_metered(timings: Sequence[Timing]) -> str | None:
    """Why so many metered runs have no joules that nothing can be fitted; None where nothing was metered."""
    problems = Counter(timing.problem for timing in timings if timing.problem is not None)
    metered = [timing for timing in timings if timing.window_unix_s is not None or timing.energy_j is not None]
    if not metered:
        return None
    known = sum(timing.energy_j is not None for timing in metered)
    reason = f": {problems.most_common(1)[0][0]}" if problems else ""
    return f"the energy of {known} of {len(metered)} metered runs is known, and a fit takes {MIN_METERED}{reason}"


def check_metered(problem: str | None, kept: str) -> None:
    """Raise MeterError for a meter that was asked for and did not measure; ``kept`` says what is not lost."""
    if problem is not None:
        raise MeterError(f"{problem}; {kept}")


#: Number of the round that runs under a meter.
METERED = planning.MOST_ROUNDS
#: Number of the timings that are taken after the rounds, of networks that were disturbed in too many of them.
SETTLING = METERED + 1
#: Share of the time that the rounds may take; the rest is for networks that were disturbed.
_ROUNDS_SHARE = 0.85
#: Reference steps, timed, from which their quiet level is known well enough to say what is disturbed.
_FEWEST_REFERENCES = 20
#: Share of the rounds' time that disturbed networks may get where the time is not limited.
_UNLIMITED_SETTLING = 0.5
#: How long to wait, in s, for a neighbour to go, and networks that are timed then to see whether he has: enough to move
#: the reference steps' level, a 200th of a session's samples.
_WAIT_S, _LOOKS = 3.0, 15


class Pace(NamedTuple):
    """How many rounds, when they begin and end on the `time.perf_counter` clock (inf: with the plan), for how many.

    ``settled`` is when the last disturbed network is taken again, ``until`` or later.
    """

    rounds: int
    began: float
    until: float
    fewest: int
    settled: float = 0.0


class _Turn(NamedTuple):
    """One round: its number, until when, in which order, and under which meter."""

    number: int
    deadline: float
    order: Sequence[int]
    meter: Windows | None = None


def take_rounds(session: Session, log: JsonLines, found: Measurements, pace: Pace) -> None:
    """Take the timings that are missing from a file. Raises MeasurementError when one cannot be kept or taken."""
    timed = (pace.until - pace.began) * (1 if session.meter is None else 1 - METER_SHARE)
    with closing(log), ReferenceSteps(session.device) as steps:
        taking = _Taking(session, log, found, pace, steps)
        cases = list(range(len(found.plan)))
        for number in range(pace.rounds):
            order = cases if number == 0 else _shuffled(cases, number)
            taking.round(_Turn(number, pace.began + _ROUNDS_SHARE * timed * (number + 1) / pace.rounds, order))
            cases = [case for case in cases if taking.has(case, 0)]
        taking.settle(_settled(pace, timed))
        if session.meter is not None:
            until = max(pace.until, time.perf_counter() + METER_SHARE * (pace.until - pace.began))
            taking.round(_Turn(METERED, until, _shuffled(cases, METERED), session.meter))


def _settled(pace: Pace, timed_s: float) -> float:
    """When the last disturbed network is taken again."""
    now = time.perf_counter()
    limited = timed_s < float("inf")
    return max(pace.began + timed_s, pace.settled) if limited else now + _UNLIMITED_SETTLING * (now - pace.began)


def _shuffled(cases: list[int], seed: int) -> list[int]:
    return [int(case) for case in np.random.default_rng(seed).permutation(cases)]


class _Taking:
    """Timings as they are taken: those that are there, and the reference steps between them."""

    def __init__(
        self, session: Session, log: JsonLines, found: Measurements, pace: Pace, steps: ReferenceSteps
    ) -> None:
        self._session, self._log, self._plan, self._pace, self._steps = session, log, found.plan, pace, steps
        self._timings = list(found.timings)
        self._done = {(timing.case, timing.round) for timing in found.timings}
        self._before = steps.take()
        self._levels_s: dict[str, float] = {}

    def has(self, case: int, number: int) -> bool:
        """Whether a case was timed in a round."""
        return (case, number) in self._done

    def round(self, turn: _Turn) -> None:
        """Time networks once each in the order given until the deadline; disturbed ones again while time lasts."""
        queue = [case for case in turn.order if not self.has(case, turn.number)]
        again: set[int] = set()
        while queue and (
            time.perf_counter() < turn.deadline or (turn.number == 0 and len(self._done) < self._pace.fewest)
        ):
            case = queue.pop(0)
            timing = self._take(case, turn.number, turn.meter, 1 / (len(queue) + 1))
            if case not in again and disturbed(timing, self._levels()):
                queue.append(case)
                again.add(case)

    def settle(self, deadline: float) -> None:
        """Time networks that were disturbed in too many rounds until they have enough or the deadline is there.

        Where threads slow each other even at the quietest that is waited for, too: a neighbour may go, and a host may
        put them closer together.
        """
        while time.perf_counter() < deadline:
            levels = quiet_levels(self._timings)
            queue = unsettled(Measurements({}, self._plan, tuple(self._timings)).measured(), levels)
            if not queue:
                if room(levels) <= ANOTHER_SPEED:
                    return
                time.sleep(min(_WAIT_S, max(deadline - time.perf_counter(), 0.0)))
                queue = [case for case in range(len(self._plan)) if self.has(case, 0)][:_LOOKS]
            for case in queue:
                if time.perf_counter() < deadline:
                    self._take(case, SETTLING, None, 1.0)

    def _take(self, case: int, number: int, meter: Windows | None, share: float) -> Timing:
        timing = _timed(self._session, self._plan[case], meter)
        after = self._steps.take()
        around = {name: (self._before[name], after[name]) for name in after}
        kernel = {**(timing.kernel or {}), **self._steps.explained()} or None
        timing = timing._replace(case=case, round=number, reference_s=around, kernel=kernel)
        self._before = after
        self._log.append(timing._asdict())
        self._timings.append(timing)
        self._done.add((case, number))
        if self._session.progress is not None:
            what = "timing networks" if meter is None else f"metering networks ({meter.name})"
            what = "timing disturbed networks again" if number == SETTLING else what
            self._session.progress(what, _share_done(self._pace, min(number, METERED), share))
        return timing

    def _levels(self) -> dict[str, float]:
        """Quiet levels of the reference steps so far; nothing is disturbed before there are enough of them."""
        if len(self._timings) % _FEWEST_REFERENCES == 0:
            self._levels_s = quiet_levels(self._timings)
        return self._levels_s


def _timed(session: Session, case: Case, meter: Windows | None) -> Timing:
    try:
        return time_run(case, session.training, planning.RUN_S, session.device.id, meter)
    except (RuntimeError, MemoryError) as error:  # torch's errors: out of memory, a GPU that is gone
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        remedy = (
            "see `nvidia-smi` and the kernel's log, then" if session.device.kind == "cuda" else "free some memory and"
        )
        network = "-".join(map(str, case.full))
        raise MeasurementError(
            f"{session.device.id} failed while it trained {network} with batch {case.batch_size} ({reason}); what "
            f"was measured is kept: {remedy} run the same command again"
        ) from None


def _share_done(pace: Pace, number: int, of_round: float) -> float:
    """By the clock where the time is limited, else by the rounds."""
    until = max(pace.until, pace.settled)
    if until == float("inf"):
        return min((number + of_round) / pace.rounds, 1.0)
    return min((time.perf_counter() - pace.began) / max(until - pace.began, 1e-9), 1.0)
