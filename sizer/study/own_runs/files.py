"""From the log of one's own study to files in the published schema, so that reading and every analysis run on them.

Quirks of the published files are kept, since readers undo them: power samples are in US/Mountain local time with a
wrong trailing Z, learning rates and batch sizes are text, networks of depth 2 are filed under ``rectangle``. What is
one's own: run_time is epochs x the quiet time of an epoch (`sizer.study.own_runs.training`), since an interruption on
a shared machine is no cost of the network; there is no overhead to subtract, since the clock starts at the first epoch;
joules are mean power x run_time, and missing without a meter; ``run_data`` has the number of epochs.
"""

from __future__ import annotations

import datetime
import io
import json
import shutil
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from sizer.base.storage import write_whole
from sizer.study.files import locate, schema
from sizer.study.files.schema import LOSS_QUANTILES, names
from sizer.study.origin import levels_of
from sizer.study.own_runs.log import OwnStudy
from sizer.study.runs.networks import with_networks
from sizer.study.runs.runs import write_runs

_BATCH = "own_study"
_EXPERIMENT = ["dataset", "shape", "depth", "size"]
_LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Power is logged this often, as by the study's wattmeters.
_SAMPLE_S = 60


def write_files(study: OwnStudy, folder: Path) -> list[str]:
    """Write the study's files anew from its log, and say which; none before its first run.

    The runs frame that the analyses read (`sizer.study.runs.runs`) is among them, with this machine's levels.
    """
    if not study.runs:
        return []
    runs = runs_of(study)
    frame = with_networks(_standardized(runs), levels=levels_of(study)).frame
    power = [_write_power(runs, folder / locate.ENERGY.names[0])] if runs["energy"].notna().any() else []
    return [
        _write_csv(_metadata(runs), folder / locate.METADATA.names[0]),
        *power,
        _write_summaries(_summaries(study), folder / locate.SUMMARIES.names[0]),
        *write_runs(frame, folder),
    ]


def runs_of(study: OwnStudy) -> pd.DataFrame:
    """One row a run of the log: its setting, epochs, times, and energy and power where a meter knew them."""
    header = study.header
    frame = pd.DataFrame([{name: run[name] for name in _OF_LOG} for run in study.runs], columns=_OF_LOG)
    start = pd.to_datetime(frame["start_unix_s"], unit="s", utc=True).astype("datetime64[us, UTC]")
    run_time = frame["epochs"] * frame["epoch_s"]
    power = frame["joules"].astype("float64") / frame["wall_s"]
    number = frame.groupby(_EXPERIMENT, sort=False).ngroup() + 1
    return frame.assign(
        start_time=start,
        update_time=start + pd.to_timedelta(run_time, unit="s"),
        run_time=run_time,
        power=power,
        energy=power * run_time,
        experiment_number=number,
        slurm_job_id=np.arange(1, len(frame) + 1),
        node=header["host"],
        is_gpu=header["device"]["kind"] != "cpu",
        learning_rate=str(header["settings"]["learning_rate"]),
        batch_size=str(header["settings"]["batch_size"]),
        optimizer="Adam",
        batch=_BATCH,
    )


#: What the log knows of a network, by the names of a runs frame.
_FACTS = ["epochs", "n_observations", "input_dim", "output_dim", "widths", "num_free_parameters"]
_OF_LOG = ["run_id", *_EXPERIMENT, "start_unix_s", "epoch_s", "wall_s", "joules", *_FACTS]


def _metadata(runs: pd.DataFrame) -> pd.DataFrame:
    return runs.assign(
        experiment_id=[str(uuid.UUID(int=number)) for number in runs["experiment_number"]],
        old_experiment_id=runs["experiment_number"],
        host_name=runs["node"],
        run_data=[json.dumps({"epochs": epochs}) for epochs in runs["epochs"].tolist()],
    )[names(schema.METADATA)]


def _standardized(runs: pd.DataFrame) -> pd.DataFrame:
    """The published columns, and the facts of the networks that `with_networks` would look up."""
    start_ns = runs["start_time"].astype("int64") * 1000
    return runs.assign(
        experiment_id=runs["experiment_number"],
        end_time=runs["update_time"],
        filter_1=False,
        filter_2=False,
        filter_3=False,
        filter_3_stdevs=np.nan,
        filter=False,
        start_time_int=start_ns,
        start_offset=start_ns - start_ns.min(),
        num_reps=runs.groupby("experiment_number")["run_id"].transform("size"),
        std_power=runs["power"],
        std_energy=runs["energy"],
        energy_overhead=0.0,
        non_overhead_energy=runs["energy"],
        runtime_overhead=0.0,
        non_overhead_runtime=runs["run_time"],
        n_features=runs["input_dim"],
    )[[*names(schema.STANDARDIZED), "n_features", *_FACTS]]


def _write_csv(frame: pd.DataFrame, path: Path) -> str:
    """A zip file with one CSV file; times with their offset, as the study's data base writes them."""
    return _write_zip(path, {path.name.removesuffix(".zip"): frame.to_csv(index=False)})


def _write_zip(path: Path, members: Mapping[str, str]) -> str:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    write_whole(path, stream.getvalue())
    return str(path)


def _write_power(runs: pd.DataFrame, path: Path) -> str:
    """One log a run: its mean power, sampled at the start and every minute."""
    zone = ZoneInfo(schema.POWER_TIME_ZONE)
    members = {}
    for run in runs[runs["power"].notna()].itertuples():
        offsets = range(0, int(run.run_time) + 1, _SAMPLE_S)
        times = [(run.start_time + datetime.timedelta(seconds=offset)).astimezone(zone) for offset in offsets]
        lines = [f"{time:%Y-%m-%dT%H:%M:%S.%f}Z,{run.node},{run.power:.6f}" for time in times]
        members[f"{run.slurm_job_id}.csv"] = "\n".join(["timestamp,node,watts", *lines, ""])
    return _write_zip(path, members)


def _summaries(study: OwnStudy) -> pd.DataFrame:
    """One row an experiment: quantiles of the test loss over its repetitions, as long as the shortest of them."""
    settings = study.header["settings"]
    by_experiment: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for run in study.runs:
        by_experiment.setdefault(tuple(run[name] for name in _EXPERIMENT), []).append(run)
    rows = []
    for number, (experiment, runs) in enumerate(by_experiment.items(), start=1):
        rows.append(
            dict(zip(_EXPERIMENT, experiment, strict=True))
            | {
                "optimizer": "Adam",
                "learning_rate": settings["learning_rate"],
                "batch_size": settings["batch_size"],
                "regularizer": "none",
                "has_label_noise": False,
                "experiment_id": number,
                "num_free_parameters": runs[0]["num_free_parameters"],
                "widths": runs[0]["widths"],
                "num_runs": len(runs),
                "task": runs[0]["task"],
            }
            | _losses([run["test_losses"] for run in runs])
        )
    return pd.DataFrame(rows)[names(schema.SUMMARY)]


def _losses(curves: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    shortest = min(map(len, curves))
    quantiles = np.quantile(np.array([curve[:shortest] for curve in curves], dtype=np.float64), _LEVELS, axis=0)
    by_name = zip(LOSS_QUANTILES, quantiles.tolist(), strict=True)
    return {"epoch": list(range(1, shortest + 1)), **dict(by_name)}


def _write_summaries(summaries: pd.DataFrame, folder: Path) -> str:
    """Write the hive-partitioned Parquet folder anew, beside the old one until it is whole."""
    import pyarrow as pa
    import pyarrow.dataset

    fresh = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    table = pa.Table.from_pandas(summaries, preserve_index=False)
    keys = [table.schema.field(name) for name in names(schema.SUMMARY_PARTITIONS)]
    partitioning = pa.dataset.partitioning(pa.schema(keys), flavor="hive")
    pa.dataset.write_dataset(table, fresh, format="parquet", partitioning=partitioning)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.replace(folder)
    return str(folder)
