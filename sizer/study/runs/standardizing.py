"""From measured to comparable energy: filters, one file for depth 2, the reference node type, the overhead (section 4).

Each function is one rule, with the counts of what it met.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from sizer.base.errors import MeasurementError
from sizer.study import published as study
from sizer.study.step import Rule, examples

LONGEST_RUN_S = 75_000.0
LARGEST_Z = 4.0
OVERHEAD_QUANTILE = 0.05
_EXPERIMENT = ["dataset", "size", "depth", "optimizer", "batch_size", "learning_rate"]


class Marked(NamedTuple):
    """A frame and the rules that made it."""

    frame: pd.DataFrame
    rules: tuple[Rule, ...]


def without_batches(metadata: pd.DataFrame) -> Marked:
    """Leaves out the batches that the study removed: they have other batch sizes, and depth 2 on CPU nodes alone."""
    removed = metadata["batch"].isin(study.published()["removed_batches"])
    meaning = "a batch of runs that the study left out"
    rule = Rule("removed batch", meaning, int(removed.sum()), examples=examples(metadata["batch"][removed]))
    return Marked(metadata[~removed].reset_index(drop=True), (rule,))


def filtered(runs: pd.DataFrame) -> Marked:
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
    marks = {
        "filter_1": (runs["run_time"] > LONGEST_RUN_S).to_numpy(),
        "filter_2": (runs["energy"] == 0).to_numpy(),
        "filter_3": z > LARGEST_Z,
    }
    meanings = (
        f"run time above {LONGEST_RUN_S:,.0f} s",
        "energy is 0",
        f"log run time more than {LARGEST_Z:g} standard deviations off within hardware, data set and size",
    )
    so_far, rules = np.zeros(len(runs), dtype=bool), []
    for (name, mark), meaning in zip(marks.items(), meanings, strict=True):
        more = int((mark & ~so_far).sum())
        counted = f"{meaning}; {int(mark.sum())} match, {more} of them by no filter before"
        rules.append(Rule(name, counted, more, examples=examples(runs["run_id"][mark])))
        so_far |= mark
    return Marked(runs.assign(**marks, filter_3_stdevs=z, filter=so_far), tuple(rules))


def filed(runs: pd.DataFrame) -> Marked:
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
    return Marked(runs, (Rule("depth 2", meaning, int((flat & other).sum())),))


def idle_powers(nodes: pd.DataFrame) -> pd.Series:
    """Idle power (W) of each node type: the median over its nodes of the 2 % quantile."""
    return nodes.dropna(subset=["type"]).groupby("type")["p2"].median()


def standardized(runs: pd.DataFrame, nodes: pd.DataFrame) -> Marked:
    """Adds power, std_power (W) and std_energy (J): power + idle(reference type) - idle(type), times run time.

    The reference types are cpu1 and gpu1. Runs on nodes that are not listed, or of unknown type, are left out.
    Raises MeasurementError when no node of a reference type that is needed has an idle power.
    """
    idle = idle_powers(nodes)
    kind = runs["node"].map(nodes["type"])
    listed = runs["node"].isin(nodes.index)
    offset = kind.map(_offsets(idle, kind.dropna().unique())).astype(float)
    known = offset.notna()
    lost = ~known & listed
    rules = (
        Rule(
            "unlisted node",
            "a node that node_sinfo.csv does not list",
            int((~listed).sum()),
            examples=examples(runs["node"][~listed]),
        ),
        Rule(
            "node of unknown type",
            "a node of no known type, or of a type without idle power",
            int(lost.sum()),
            examples=examples(runs["node"][lost]),
        ),
    )
    power = runs["energy"] / runs["run_time"]
    std_power = power + offset
    frame = runs.assign(power=power, std_power=std_power, std_energy=std_power * runs["run_time"])
    return Marked(frame[known].reset_index(drop=True), rules)


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


def without_overhead(runs: pd.DataFrame) -> Marked:
    """Adds energy_overhead (J), runtime_overhead (s), and what is left of std_energy and run_time without them.

    Overhead is the 5 % quantile over the runs of 505_tecator of at most 1024 parameters, on each hardware: what a run
    takes that does next to nothing. Where there is no such run, it is not known, and neither is what is left.
    """
    small = runs[(runs["dataset"] == study.OVERHEAD_DATASET) & (runs["size"] <= study.OVERHEAD_SIZE)]
    columns = {"energy_overhead": "std_energy", "runtime_overhead": "run_time"}
    quantiles = small.groupby("is_gpu")[list(columns.values())].quantile(OVERHEAD_QUANTILE)
    overhead = {name: runs["is_gpu"].map(quantiles[source]).astype(float) for name, source in columns.items()}
    unknown = overhead["energy_overhead"].isna()
    meaning = f"noted, not removed: no run of {study.OVERHEAD_DATASET} of at most {study.OVERHEAD_SIZE} parameters"
    rule = Rule("no overhead", f"{meaning} on its hardware, so that its overhead is not known", int(unknown.sum()))
    frame = runs.assign(
        **overhead,
        non_overhead_energy=runs["std_energy"] - overhead["energy_overhead"],
        non_overhead_runtime=runs["run_time"] - overhead["runtime_overhead"],
    )
    return Marked(frame, (rule,))
