"""Joules of metered runs: those that a meter read at once, those of a log that is read afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from sizer.base.errors import MeterError
from sizer.calibration.measurements import Case, Measurements, Timing
from sizer.calibration.session import MIN_METERED
from sizer.meters.choosing import MeterOptions
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
