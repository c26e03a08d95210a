"""From power samples to each run's standardised energy, step by step as the study does it (paper section 4)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sizer.errors import MeasurementError
from sizer.study.integration import integrate
from sizer.study.power_logs import PowerLogs, read_power
from sizer.study.progress import Advance, unseen
from sizer.study.reading import read_metadata, read_nodes
from sizer.study.schema import STANDARDIZED, names
from sizer.study.standardizing import filed, filtered, idle_powers, standardized, without_batches, without_overhead
from sizer.study.step import Rule, StudyStep

HARDWARE = {False: "cpu", True: "gpu"}


class Energies(NamedTuple):
    """Runs with the columns of `sizer.study.schema.STANDARDIZED`, and the record of how they came about."""

    frame: pd.DataFrame
    step: StudyStep


def energies(metadata: pd.DataFrame, power: PowerLogs, nodes: pd.DataFrame) -> Energies:
    """Standardised energy of each run: integrate, reject, filter, file, standardise, subtract overhead.

    ``metadata``, ``power`` and ``nodes`` are what `sizer.study.reading.read_metadata`, `read_nodes` and
    `sizer.study.power_logs.read_power` answer with. Raises MeasurementError when no run is left.
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
