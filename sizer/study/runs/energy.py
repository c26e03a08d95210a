"""Energy of many runs from power samples at once: sample and hold, cut at each run's start and end (paper section 4).

Each sample is held until the next one. Sums are taken in W us: exact in double precision for whole watts, so that a
case worked out by hand is met to the last digit.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sizer.base.errors import MeasurementError
from sizer.study.files.power_logs import IntArray, PowerLogs, read_power
from sizer.study.files.schema import STANDARDIZED, names
from sizer.study.files.tables import read_metadata, read_nodes
from sizer.study.runs.standardizing import filed, filtered, idle_powers, standardized, without_batches, without_overhead
from sizer.study.step import Advance, Rule, StudyStep, examples, unseen

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


HARDWARE = {False: "cpu", True: "gpu"}


class Energies(NamedTuple):
    """Runs with the columns of `sizer.study.files.schema.STANDARDIZED`, and the record of how they came about."""

    frame: pd.DataFrame
    step: StudyStep


def energies(metadata: pd.DataFrame, power: PowerLogs, nodes: pd.DataFrame) -> Energies:
    """Standardised energy of each run: integrate, reject, filter, file, standardise, subtract overhead.

    ``metadata``, ``power`` and ``nodes`` are what `sizer.study.files.tables.read_metadata`, `read_nodes` and
    `sizer.study.files.power_logs.read_power` answer with. Raises MeasurementError when no run is left.
    """
    kept, batches = without_batches(metadata)
    joined, rejections = integrate(kept, power)
    marked, filters = filtered(joined)
    usable = marked[~marked["filter"]].rename(columns={"host_name": "node"}).sort_values("run_id", ignore_index=True)
    one_file, depth = filed(usable.assign(experiment_id=usable["old_experiment_id"]))
    standard, types = standardized(one_file, nodes)
    frame, overhead = without_overhead(standard)
    rules = (*batches, *rejections, *filters, *depth, *types, *overhead)
    if frame.empty:
        told = ", ".join(f"{rule.name} {rule.count}" for rule in rules if rule.count)
        raise MeasurementError(f"none of the {len(metadata)} runs has an energy: {told}")
    frame = _finished(frame)
    step = StudyStep(
        "energy", "standardised energy of each run", len(metadata), len(frame), rules, _numbers(frame, nodes)
    )
    return Energies(frame, step)


def read_energies(folder: Path, advance: Advance = unseen) -> Energies:
    """`energies` of a folder's files, with the rules by which they were read."""
    advance("reading runs", 0.0)
    metadata, row_rules = read_metadata(folder)
    nodes, node_rules = read_nodes(folder)
    wanted, _ = without_batches(metadata)
    power = read_power(folder, set(wanted["slurm_job_id"]), lambda what, share: advance(what, 0.9 * share))
    advance("integrating", 0.9)
    frame, step = energies(metadata, power, nodes)
    rules: tuple[Rule, ...] = (*row_rules, *node_rules, *power.rules, *step.rules)
    samples = {"power_samples": len(power.watts), "power_logs": len(power.logs)}
    return Energies(
        frame, StudyStep(step.step, step.title, step.rows_in, step.rows_out, rules, {**samples, **step.numbers})
    )


def _finished(frame: pd.DataFrame) -> pd.DataFrame:
    """The published columns, in order."""
    start = frame["start_time"].to_numpy("datetime64[ns]").astype(np.int64)
    repeats = frame.groupby(["experiment_id", "is_gpu"])["run_id"].transform("size")
    return frame.assign(
        end_time=pd.to_datetime(frame["end_time"], utc=True) if "end_time" in frame else frame["update_time"],
        start_time_int=start,
        start_offset=start - start.min(),
        num_reps=repeats.astype(np.int64),
    )[names(STANDARDIZED)]


def _numbers(frame: pd.DataFrame, nodes: pd.DataFrame) -> dict[str, float | int | str | None]:
    """What the study states of itself: overheads and median powers by hardware, idle powers by node type."""
    numbers: dict[str, float | int | str | None] = {
        f"idle_power_{kind}_w": None if pd.isna(watts) else float(watts) for kind, watts in idle_powers(nodes).items()
    }
    for is_gpu, group in frame.groupby("is_gpu"):
        name = HARDWARE[bool(is_gpu)]
        overhead = group["energy_overhead"].iloc[0]
        numbers[f"runs_{name}"] = len(group)
        numbers[f"overhead_energy_{name}_j"] = None if pd.isna(overhead) else float(overhead)
        numbers[f"overhead_time_{name}_s"] = None if pd.isna(overhead) else float(group["runtime_overhead"].iloc[0])
        numbers[f"median_std_power_{name}_w"] = float(group["std_power"].median())
    return numbers
