"""From the log of one's own study to files in the published schema, so that reading and every analysis run on them.

Quirks of the published files are kept, since readers undo them: power samples are in US/Mountain local time with a
wrong trailing Z, learning rates and batch sizes are text, networks of depth 2 are filed under ``rectangle``. What is
one's own: run_time is epochs x the quiet time of an epoch (`sizer.study.own_runs.training`), since an interruption on
a shared machine is no cost of the network; there is no overhead to subtract, since the clock starts at the first epoch;
joules are mean power x run_time, and missing without a meter; ``run_data`` has the number of epochs.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from sizer.study.files import schema
from sizer.study.files.partitioned import write_summaries
from sizer.study.files.schema import LOSS_QUANTILES
from sizer.study.own_runs.log import OwnStudy
from sizer.study.runs.networks import with_networks
from sizer.study.runs.runs import write_runs
from sizer.study.step import save_zip, save_zipped_csv

_EXPERIMENT = ["dataset", "shape", "depth", "size"]
_LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Power is logged this often, as by the study's wattmeters.
_SAMPLE_S = 60
#: What the log knows of a network, by the names of a runs frame.
_FACTS = ["epochs", "n_observations", "input_dim", "output_dim", "widths", "num_free_parameters"]
_TIMES = ["start_unix_s", "epoch_s", "wall_s"]
_OF_LOG = ["run_id", *_EXPERIMENT, *_TIMES, "joules", *_FACTS, "task", "test_losses"]


def write_files(study: OwnStudy, folder: Path) -> list[str]:
    """Write the study's files anew from its log, and say which; none before its first run.

    The runs frame that the analyses read (`sizer.study.runs.runs`) is among them, with this machine's levels.
    """
    if not study.runs:
        return []
    runs = runs_of(study)
    frame = with_networks(_standardized(runs), levels=study.levels).frame
    power = [save_zip(folder / schema.ENERGY.names[0], _power_logs(runs))] if runs["energy"].notna().any() else []
    return [
        save_zipped_csv(_metadata(runs), folder / schema.METADATA.names[0]),
        *power,
        write_summaries(_summaries(runs), folder / schema.SUMMARIES.names[0]),
        *write_runs(frame, folder),
    ]


def runs_of(study: OwnStudy) -> pd.DataFrame:
    """One row a run of the log: its setting, epochs, times, losses, and energy and power where a meter knew them."""
    header = study.header
    frame = pd.DataFrame([{name: run[name] for name in _OF_LOG} for run in study.runs], columns=_OF_LOG)
    start = pd.to_datetime(frame["start_unix_s"], unit="s", utc=True).astype("datetime64[us, UTC]")
    run_time = frame["epochs"] * frame["epoch_s"]
    power = frame["joules"].astype("float64") / frame["wall_s"]
    return frame.assign(
        start_time=start,
        update_time=start + pd.to_timedelta(run_time, unit="s"),
        run_time=run_time,
        power=power,
        energy=power * run_time,
        experiment_id=frame.groupby(_EXPERIMENT, sort=False).ngroup() + 1,
        slurm_job_id=np.arange(1, len(frame) + 1),
        node=header["host"],
        is_gpu=header["device"]["kind"] != "cpu",
        learning_rate=str(header["settings"]["learning_rate"]),
        batch_size=str(header["settings"]["batch_size"]),
        optimizer="Adam",
        batch="own_study",
    )


def _metadata(runs: pd.DataFrame) -> pd.DataFrame:
    return runs.assign(
        experiment_id=[str(uuid.UUID(int=number)) for number in runs["experiment_id"]],
        old_experiment_id=runs["experiment_id"],
        host_name=runs["node"],
        run_data=[json.dumps({"epochs": epochs}) for epochs in runs["epochs"].tolist()],
    )[list(schema.METADATA.columns)]


def _standardized(runs: pd.DataFrame) -> pd.DataFrame:
    """The published columns, and the facts of the networks that `with_networks` would look up."""
    start_ns = runs["start_time"].astype("int64") * 1000
    return runs.assign(
        end_time=runs["update_time"],
        **dict.fromkeys(("filter_1", "filter_2", "filter_3", "filter"), False),
        filter_3_stdevs=np.nan,
        start_time_int=start_ns,
        start_offset=start_ns - start_ns.min(),
        num_reps=runs.groupby("experiment_id")["run_id"].transform("size"),
        std_power=runs["power"],
        **dict.fromkeys(("std_energy", "non_overhead_energy"), runs["energy"]),
        **dict.fromkeys(("energy_overhead", "runtime_overhead"), 0.0),
        non_overhead_runtime=runs["run_time"],
        n_features=runs["input_dim"],
    )[[*schema.STANDARDIZED.columns, "n_features", *_FACTS]]


def _power_logs(runs: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """One log a run: its mean power, to a millionth of a W, sampled at the start and every minute, to the us."""
    zone = ZoneInfo(schema.POWER_TIME_ZONE)
    for run in runs[runs["power"].notna()].itertuples():
        offsets = range(0, int(run.run_time) + 1, _SAMPLE_S)
        times = [(run.start_time + timedelta(seconds=offset)).astimezone(zone) for offset in offsets]
        lines = [f"{time:%Y-%m-%dT%H:%M:%S.%f}Z,{run.node},{run.power:.6f}" for time in times]
        yield f"{run.slurm_job_id}.csv", "\n".join(["timestamp,node,watts", *lines, ""])


def _summaries(runs: pd.DataFrame) -> pd.DataFrame:
    """One row an experiment: quantiles of the test loss over its repetitions, as long as the shortest of them."""
    same = runs.groupby("experiment_id")
    losses = pd.DataFrame([_losses(each.tolist()) for _, each in same["test_losses"]])
    rows = same.first().assign(num_runs=same.size()).reset_index().join(losses)
    settings = {name: rows[name].map(kind) for name, kind in (("learning_rate", float), ("batch_size", int))}
    return rows.assign(regularizer="none", has_label_noise=False, **settings)[list(schema.SUMMARIES.columns)]


def _losses(curves: list[Any]) -> dict[str, list[float]]:
    shortest = min(map(len, curves))
    quantiles = np.quantile(np.array([curve[:shortest] for curve in curves], dtype=np.float64), _LEVELS, axis=0)
    by_name = zip(LOSS_QUANTILES, quantiles.tolist(), strict=True)
    return {"epoch": list(range(1, shortest + 1)), **dict(by_name)}
