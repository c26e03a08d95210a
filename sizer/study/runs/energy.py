"""Standardised energy of each run: integrated from power samples, filtered, standardised, less the overhead.

Section 4 of the paper, in its order; each function is one rule, with the counts of what it met. Each power sample is
held until the next one (`sizer.meters.power_log.held_energy`). Sums are taken in W us: exact in double precision for
whole watts, so that a case worked out by hand is met to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sizer.base.errors import MeasurementError
from sizer.meters.power_log import held_energy
from sizer.models.shapes import FloatArray, IntArray
from sizer.study import published as study
from sizer.study.files.power_logs import PowerLogs, read_power
from sizer.study.files.schema import STANDARDIZED
from sizer.study.files.tables import read_metadata, read_nodes
from sizer.study.step import Advance, Rule, StudyStep, Table, examples, finite_or_none, unseen

_US = 1e6
#: The logs' sampling period: a run needs at least duration / period - 1 samples (paper section 4, as what follows).
PERIOD_S = 60.0
LONGEST_RUN_S, LARGEST_Z = 75_000.0, 4.0
OVERHEAD_QUANTILE = 0.05
_WITHIN = "within hardware, data set and size"
_EXPERIMENT = ["dataset", "size", "depth", "optimizer", "batch_size", "learning_rate"]


def integrate(runs: pd.DataFrame, power: PowerLogs) -> Table:
    """Join power logs with runs (slurm_job_id, host_name, start_time, update_time in UTC): energy (J) and run_time (s).

    Rejected, in this order, are runs without a power file, without a sample from start to end, with fewer than
    duration / 60 s - 1 such samples, and with any such sample at 0 W or less.
    """
    start, end = (runs[name].to_numpy("datetime64[us]").astype(np.int64) for name in ("start_time", "update_time"))
    low, high, energy = _joined(runs, start, end, power)
    seconds, inside = (end - start) / _US, high - low
    zeros = np.concatenate([[0], np.cumsum(power.watts <= 0)])
    tests = (
        ("no file", "no power log of the run's job", ~runs["slurm_job_id"].isin(power.jobs).to_numpy()),
        ("no sample", "no power sample of the run's node from its start to its end", inside == 0),
        ("too few samples", "fewer than duration / 60 s - 1 power samples", inside < seconds / PERIOD_S - 1),
        ("0 W reading", "a power sample of 0 W inside the run", zeros[high] > zeros[low]),
    )
    rules, good = [], np.ones(len(runs), dtype=bool)
    for name, meaning, fails in tests:
        rules.append(Rule.of(name, meaning, good & fails, runs["run_id"]))
        good &= ~fails
    frame = runs.assign(energy=energy / _US, run_time=seconds)[good].reset_index(drop=True)
    return Table(frame, (*rules, *_notes(power, start[good], low[good])))


def _joined(
    runs: pd.DataFrame, start: IntArray, end: IntArray, power: PowerLogs
) -> tuple[IntArray, IntArray, FloatArray]:
    """Of each run: its first sample inside, one past its last, and its energy (W us); 0 where it has no log."""
    keyed = power.logs.rename(columns={"node": "host_name"}).assign(log=np.arange(len(power.logs)))
    log = runs[["slurm_job_id", "host_name"]].merge(keyed, how="left")["log"].fillna(-1).to_numpy(np.int64)
    low, high, energy = np.zeros_like(log), np.zeros_like(log), np.zeros(len(log))
    bounds = np.searchsorted(power.log, np.arange(len(power.logs) + 1))
    order = np.argsort(log, kind="stable")
    order = order[log[order] >= 0]
    for some in np.split(order, np.flatnonzero(np.diff(log[order])) + 1) if len(order) else ():
        since, until = bounds[log[some[0]]], bounds[log[some[0]] + 1]
        times, watts = power.time_us[since:until], power.watts[since:until]
        low[some] = since + np.searchsorted(times, start[some], side="left")
        high[some] = since + np.searchsorted(times, end[some], side="right")
        if since < until:
            energy[some] = held_energy(times, watts, start[some], end[some])
    return low, high, energy


def _notes(power: PowerLogs, start: IntArray, low: IntArray) -> tuple[Rule, Rule]:
    """What is odd about the sample held at the start of runs that are kept; ``low`` is their first sample inside."""
    before = np.maximum(low - 1, 0)
    is_first = (low == 0) | (power.log[before] != power.log[low])
    late = is_first & (power.time_us[low] > start)
    dark = ~is_first & (power.time_us[low] > start) & (power.watts[before] <= 0)
    stands_in = "noted, not removed: the log begins after the run, its first sample stands in for that time"
    at_zero = "noted, not removed: the sample held when the run starts is 0 W, which lowers its energy"
    return Rule.of("late log", stands_in, late), Rule.of("0 W at start", at_zero, dark)


def without_batches(metadata: pd.DataFrame) -> Table:
    """Leaves out the batches that the study removed: they have other batch sizes, and depth 2 on CPU nodes alone."""
    removed = metadata["batch"].isin(study.published()["removed_batches"])
    meaning = "a batch of runs that the study left out"
    rule = Rule.of("removed batch", meaning, removed, metadata["batch"])
    return Table(metadata[~removed].reset_index(drop=True), (rule,))


def filtered(runs: pd.DataFrame) -> Table:
    """Marks runs by the study's three filters: columns filter_1, filter_2, filter_3, filter_3_stdevs and filter.

    1: run time above 75,000 s. 2: energy 0. 3: |z| above 4, z being log run time less its mean, over its standard
    deviation (of the whole group, not of a sample of it), within (is_gpu, dataset, size); one run alone has no z.
    """
    log_time = np.log(runs["run_time"])
    groups = log_time.groupby([runs["is_gpu"], runs["dataset"], runs["size"]])
    deviation = np.sqrt(groups.transform("var", ddof=0)).to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.abs(log_time - groups.transform("mean")).to_numpy() / deviation
    z[groups.transform("size").to_numpy() == 1] = np.nan
    filters = (
        ("filter_1", runs["run_time"].to_numpy() > LONGEST_RUN_S, f"run time above {LONGEST_RUN_S:,.0f} s"),
        ("filter_2", runs["energy"].to_numpy() == 0, "energy is 0"),
        ("filter_3", z > LARGEST_Z, f"log run time more than {LARGEST_Z:g} standard deviations off {_WITHIN}"),
    )
    so_far, rules = np.zeros(len(runs), dtype=bool), []
    for name, mark, meaning in filters:
        more = int((mark & ~so_far).sum())
        counted = f"{meaning}; {int(mark.sum())} match, {more} of them by no filter before"
        rules.append(Rule(name, counted, more, examples=examples(runs["run_id"][mark])))
        so_far |= mark
    marks = {name: mark for name, mark, _ in filters}
    return Table(runs.assign(**marks, filter_3_stdevs=z, filter=so_far), tuple(rules))


def filed(runs: pd.DataFrame) -> Table:
    """Gives runs of depth 2, whose networks are the same in every shape, one experiment and the shape ``rectangle``.

    The experiment is the rectangle's where there is one, else the first.
    """
    flat = runs["depth"] == study.SHAPELESS_DEPTH
    other = runs["shape"] != study.SHAPELESS_SHAPE
    order = runs[flat].assign(other=other[flat]).sort_values(["other", "run_id"], kind="stable")
    chosen = order.groupby(_EXPERIMENT, sort=False)["experiment_id"].first()
    found = runs.loc[flat, _EXPERIMENT].join(chosen, on=_EXPERIMENT)["experiment_id"]
    runs = runs.assign(
        experiment_id=runs["experiment_id"].where(~flat, found.reindex(runs.index)).astype(np.int64),
        shape=runs["shape"].where(~flat, study.SHAPELESS_SHAPE),
    )
    meaning = "noted, not removed: a run of depth 2 and another shape, filed under rectangle"
    return Table(runs, (Rule.of("depth 2", meaning, flat & other),))


def idle_powers(nodes: pd.DataFrame) -> pd.Series:
    """Idle power (W) of each node type: the median over its nodes of the 2 % quantile."""
    return nodes.dropna(subset=["type"]).groupby("type")["p2"].median()


def standardized(runs: pd.DataFrame, nodes: pd.DataFrame) -> Table:
    """Adds power, std_power (W) and std_energy (J): power + idle(reference type) - idle(type), times run time.

    The reference types are cpu1 and gpu1. Runs on nodes that are not listed, or of unknown type, are left out.
    Raises MeasurementError when no node of a reference type that is needed has an idle power.
    """
    idle = idle_powers(nodes)
    kind = runs["node"].map(nodes["type"])
    listed = runs["node"].isin(nodes.index)
    offset = kind.map(_offsets(idle, kind.dropna().unique())).astype(float)
    known = offset.notna()
    of_no_type = "a node of no known type, or of a type without idle power"
    rules = (
        Rule.of("unlisted node", "a node that node_sinfo.csv does not list", ~listed, runs["node"]),
        Rule.of("node of unknown type", of_no_type, ~known & listed, runs["node"]),
    )
    power = runs["energy"] / runs["run_time"]
    std_power = power + offset
    frame = runs.assign(power=power, std_power=std_power, std_energy=std_power * runs["run_time"])
    return Table(frame[known].reset_index(drop=True), rules)


def _offsets(idle: pd.Series, kinds: Iterable[str]) -> dict[str, float]:
    """W to add to the power of each type: idle power of its reference less its own."""
    references = study.published()["reference_node_type"]
    offsets = {}
    for kind in kinds:
        reference = references[kind[:3]]
        if reference not in idle or pd.isna(idle[reference]):
            raise MeasurementError(
                f"no node of the reference type {reference} has an idle power in node_power_dist.csv; one is needed"
            )
        if kind in idle:
            offsets[kind] = float(idle[reference] - idle[kind])
    return offsets


def without_overhead(runs: pd.DataFrame) -> Table:
    """Adds energy_overhead (J), runtime_overhead (s), and what is left of std_energy and run_time without them.

    Overhead is the 5 % quantile over the runs of 505_tecator of at most 1024 parameters, on each hardware: what a run
    takes that does next to nothing. Where there is no such run, it is not known, and neither is what is left.
    """
    small = runs[(runs["dataset"] == study.OVERHEAD_DATASET) & (runs["size"] <= study.OVERHEAD_SIZE)]
    columns = {"energy_overhead": "std_energy", "runtime_overhead": "run_time"}
    quantiles = small.groupby("is_gpu")[list(columns.values())].quantile(OVERHEAD_QUANTILE)
    overhead = {name: runs["is_gpu"].map(quantiles[source]).astype(float) for name, source in columns.items()}
    meaning = f"noted, not removed: no run of {study.OVERHEAD_DATASET} of at most {study.OVERHEAD_SIZE} parameters"
    meaning = f"{meaning} on its hardware, so that its overhead is not known"
    rule = Rule.of("no overhead", meaning, overhead["energy_overhead"].isna())
    frame = runs.assign(
        **overhead,
        non_overhead_energy=runs["std_energy"] - overhead["energy_overhead"],
        non_overhead_runtime=runs["run_time"] - overhead["runtime_overhead"],
    )
    return Table(frame, (rule,))


class Energies(NamedTuple):
    """Runs with the columns of `sizer.study.files.schema.STANDARDIZED`, and the record of how they came about."""

    frame: pd.DataFrame
    step: StudyStep


def read_energies(folder: Path, advance: Advance = unseen) -> Energies:
    """`energies` of a folder's files, with the rules by which they were read."""
    advance("reading runs", 0.0)
    metadata, row_rules = read_metadata(folder)
    nodes, node_rules = read_nodes(folder)
    wanted, _ = without_batches(metadata)
    power = read_power(folder, set(wanted["slurm_job_id"]), lambda what, share: advance(what, 0.9 * share))
    advance("integrating", 0.9)
    frame, step = energies(metadata, power, nodes)
    samples = {"power_samples": len(power.watts), "power_logs": len(power.logs)}
    rules = (*row_rules, *node_rules, *power.rules, *step.rules)
    return Energies(frame, replace(step, rules=rules, numbers={**samples, **step.numbers}))


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
    title = "standardised energy of each run"
    return Energies(frame, StudyStep("energy", title, len(metadata), len(frame), rules, _numbers(frame, nodes)))


def _finished(frame: pd.DataFrame) -> pd.DataFrame:
    """The published columns, in order."""
    start = frame["start_time"].to_numpy("datetime64[ns]").astype(np.int64)
    repeats = frame.groupby(["experiment_id", "is_gpu"])["run_id"].transform("size")
    return frame.assign(
        end_time=pd.to_datetime(frame["end_time"], utc=True) if "end_time" in frame else frame["update_time"],
        start_time_int=start,
        start_offset=start - start.min(),
        num_reps=repeats.astype(np.int64),
    )[list(STANDARDIZED.columns)]


def _numbers(frame: pd.DataFrame, nodes: pd.DataFrame) -> dict[str, float | int | str | None]:
    """What the study states of itself: overheads and median powers by hardware, idle powers by node type."""
    numbers: dict[str, float | int | str | None] = {
        f"idle_power_{kind}_w": finite_or_none(float(watts)) for kind, watts in idle_powers(nodes).items()
    }
    for is_gpu, group in frame.groupby("is_gpu"):
        name, first = "gpu" if is_gpu else "cpu", group.iloc[0]
        numbers[f"runs_{name}"] = len(group)
        numbers[f"overhead_energy_{name}_j"] = finite_or_none(float(first["energy_overhead"]))
        numbers[f"overhead_time_{name}_s"] = finite_or_none(float(first["runtime_overhead"]))
        numbers[f"median_std_power_{name}_w"] = float(group["std_power"].median())
    return numbers
