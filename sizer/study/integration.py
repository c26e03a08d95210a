"""Energy of many runs from power samples at once: sample and hold, cut at each run's start and end (paper section 4).

Each sample is held until the next one. Sums are taken in W us: exact in double precision for whole watts, so that a
case worked out by hand is met to the last digit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sizer.study.power_logs import IntArray, PowerLogs
from sizer.study.step import Rule, examples

FloatArray = npt.NDArray[np.float64]
_US = 1e6
#: The logs' sampling period: a run needs at least duration / period - 1 samples.
PERIOD_S = 60.0


class Integrated(NamedTuple):
    """Runs that could be integrated, with ``energy`` (J) and ``run_time`` (s), and the rules of the others."""

    frame: pd.DataFrame
    rules: tuple[Rule, ...]


def integrate(runs: pd.DataFrame, power: PowerLogs) -> Integrated:
    """Join power logs with runs (slurm_job_id, host_name, start_time, update_time in UTC) and integrate each.

    Rejected, in this order, are runs without a power file, without a sample from start to end, with fewer than
    duration / 60 s - 1 such samples, and with any such sample at 0 W or less.
    """
    start, end = (_microseconds(runs[name]) for name in ("start_time", "update_time"))
    log = _log_of(runs, power.logs)
    low, high, held = _spans(log, start, end, power)
    seconds = (end - start) / _US
    has_file = runs["slurm_job_id"].isin(power.jobs).to_numpy()
    inside = high - low
    zeros = np.concatenate([[0], np.cumsum(power.watts <= 0)])
    tests = (
        ("no file", "no power log of the run's job", ~has_file),
        ("no sample", "no power sample of the run's node from its start to its end", inside == 0),
        ("too few samples", "fewer than duration / 60 s - 1 power samples", inside < seconds / PERIOD_S - 1),
        ("0 W reading", "a power sample of 0 W inside the run", zeros[high] > zeros[low]),
    )
    rules, good = [], np.ones(len(runs), dtype=bool)
    for name, meaning, fails in tests:
        lost = good & fails
        rules.append(Rule(name, meaning, int(lost.sum()), examples=examples(runs["run_id"][lost])))
        good &= ~fails
    rules += _notes(power, good, start, low, held)
    energy = _held_energy(start[good], end[good], held[good], high[good], power)
    frame = runs[good].assign(energy=energy, run_time=seconds[good]).reset_index(drop=True)
    return Integrated(frame, tuple(rules))


def _notes(
    power: PowerLogs, good: npt.NDArray[np.bool_], start: IntArray, low: IntArray, held: IntArray
) -> tuple[Rule, Rule]:
    """What is odd about the sample held at the start of runs that are kept nevertheless."""
    kept, first = np.flatnonzero(good), held[good]
    late = power.time_us[first] > start[kept]
    dark = (first < low[kept]) & (power.watts[first] <= 0)
    stands_in = "noted, not removed: the log begins after the run, its first sample stands in for that time"
    at_zero = "noted, not removed: the sample held when the run starts is 0 W, which lowers its energy"
    return Rule("late log", stands_in, int(late.sum())), Rule("0 W at start", at_zero, int(dark.sum()))


def _microseconds(times: pd.Series) -> IntArray:
    return times.to_numpy("datetime64[us]").astype(np.int64)


def _log_of(runs: pd.DataFrame, logs: pd.DataFrame) -> IntArray:
    """Position of each run's log, -1 where there is none."""
    keyed = logs.assign(log=np.arange(len(logs)))
    joined = runs[["slurm_job_id", "host_name"]].merge(
        keyed, how="left", left_on=["slurm_job_id", "host_name"], right_on=["slurm_job_id", "node"]
    )
    return joined["log"].fillna(-1).to_numpy(np.int64)


def _spans(log: IntArray, start: IntArray, end: IntArray, power: PowerLogs) -> tuple[IntArray, IntArray, IntArray]:
    """Of each run: the first sample inside, one past the last one, and the one that is held when it starts.

    The held one is the sample before the first inside, or that one where the log begins later.
    """
    low, high = np.zeros_like(log), np.zeros_like(log)
    bounds = np.searchsorted(power.log, np.arange(len(power.logs) + 1))
    order = np.argsort(log, kind="stable")
    order = order[log[order] >= 0]
    for runs in np.split(order, np.flatnonzero(np.diff(log[order])) + 1) if len(order) else ():
        since, until = bounds[log[runs[0]]], bounds[log[runs[0]] + 1]
        times = power.time_us[since:until]
        low[runs] = since + np.searchsorted(times, start[runs], side="left")
        high[runs] = since + np.searchsorted(times, end[runs], side="right")
    first = bounds[np.maximum(log, 0)] if len(power.logs) else low
    return low, high, np.maximum(low - 1, first)


def _held_energy(start: IntArray, end: IntArray, held: IntArray, high: IntArray, power: PowerLogs) -> FloatArray:
    """J: every sample from the held one on times the time to the next, less what lies before start and after end."""
    if len(start) == 0:
        return np.empty(0)
    time, watts = power.time_us, power.watts
    lasting = np.append(watts[:-1] * np.diff(time), 0.0)
    last = high - 1
    # reduceat sums lasting[a:b] of each pair (a, b); where a == b it answers with one element, which is taken off.
    pairs = np.stack([held, last], axis=1).ravel()
    sums = np.where(last > held, np.add.reduceat(lasting, pairs)[::2], 0.0)
    return np.asarray((sums - watts[held] * (start - time[held]) + watts[last] * (end - time[last])) / _US)
