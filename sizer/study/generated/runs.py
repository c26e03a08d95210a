"""Power samples of generated jobs: one-minute logs of each node, with the faults that the published files have."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sizer.base.storage import write_whole
from sizer.method.epochs_to_loss import relative_epochs
from sizer.study import published as study
from sizer.study.files.schema import LOSS_QUANTILES, NODE_POWER, NODE_SINFO, POWER_QUANTILES, POWER_TIME_ZONE, names
from sizer.study.step import Advance

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

#: Epoch of the least loss: this times (log2 NTP + c)^-3, which is 2800 at 2^5 parameters.
EPOCHS_SCALE = 2800.0 * 4.0**3
#: Quantiles of the loss over the repetitions lie this far, in units of the noise, from the median.
_SPREAD = dict(zip(LOSS_QUANTILES, (-1.5, -0.67, 0.0, 0.67, 1.5), strict=True))
#: Loss above what no network gets below: at no training, and at the best of a network of 2^10 parameters.
_LOSS_AT_START, _LOSS_AT_BEST, _LOSS_EXPONENT, _LOSS_FLOOR = 1.0, 0.35, 0.12, 0.05
_OVERFITTING = 0.04


def epochs_recorded(last: int = study.EPOCHS) -> IntArray:
    """Every epoch to 60, then a hundred a factor of ten: enough to find a minimum within 1.2 %."""
    spaced = np.rint(np.geomspace(60, last, max(2, int(100 * np.log10(last / 60))))).astype(np.int64)
    return np.unique(np.concatenate([np.arange(1, 61), spaced]))


def best_epoch(num_free_parameters: IntArray, c: float) -> FloatArray:
    """Epoch of the least test loss, by equation 10: scale x (log2 NTP + c)^-3."""
    return np.asarray(EPOCHS_SCALE * relative_epochs(num_free_parameters, c))


def loss_curves(
    experiments: pd.DataFrame, c: float, noise: float, random: np.random.Generator
) -> dict[str, list[FloatArray | IntArray]]:
    """Lists over the epochs for each experiment (``num_free_parameters``, ``dataset``): epoch and the loss quantiles.

    The loss falls to its least at `best_epoch` and then rises slowly, as networks overfit. Larger networks get lower.
    """
    epochs = epochs_recorded()
    parameters = experiments["num_free_parameters"].to_numpy(np.int64)
    best = best_epoch(parameters, c)
    reached = _LOSS_AT_BEST * (parameters / 1024.0) ** -_LOSS_EXPONENT
    curves: dict[str, list[FloatArray | IntArray]] = {"epoch": []}
    curves |= {name: [] for name in LOSS_QUANTILES}
    for least, at in zip(reached, best, strict=True):
        time = epochs / at
        # A parabola in log time around the minimum, so that the loss is least exactly there.
        shape = np.where(
            time < 1, (1 - np.minimum(time, 1) ** 0.5) ** 2, _OVERFITTING * np.log(np.maximum(time, 1)) ** 2
        )
        median = _LOSS_FLOOR + least + (_LOSS_AT_START - least) * shape
        curves["epoch"].append(epochs)
        for name, spread in _SPREAD.items():
            curves[name].append(median * np.exp(noise * (0.2 * random.normal(size=len(epochs)) + spread)))
    return curves


def make_nodes(count: int, random: np.random.Generator) -> pd.DataFrame:
    """About ``count`` nodes: node, type, is_gpu, idle_w, idle_offset_w (to the reference type) and SLURM's columns.

    At least three of a type, the nodes' 2 % quantiles spread evenly around their type's idle power, which is their
    median therefore.
    """
    facts = study.published()
    rows = []
    for key, kind in facts["node_types"].items():
        cpus, disk, memory, gres = key.split(" ")
        share = 0.5 if kind in ("cpu1", "gpu1") else 0.2
        idle = facts["idle_power_w_by_type"][kind]
        reference = facts["idle_power_w_by_type"][facts["reference_node_type"][kind[:3]]]
        number = max(3, 2 * round(count * share / 4) + 1)
        spread = np.arange(number) - number // 2
        for index, offset in enumerate(np.clip(spread, -6, 6)):
            rows.append(
                {
                    "node": f"{'r10' if kind.startswith('gpu') else 'r'}{kind[-1]}i{index // 36}n{index % 36}",
                    "type": kind,
                    "is_gpu": kind.startswith("gpu"),
                    "idle_w": idle + float(offset),
                    "idle_offset_w": idle - reference,
                    "CPUS": int(cpus),
                    "MEMORY": int(memory),
                    "TMP_DISK": int(disk),
                    "GRES": gres,
                }
            )
    nodes = pd.DataFrame(rows)
    return nodes.iloc[random.permutation(len(nodes))].reset_index(drop=True)


def sinfo_text(nodes: pd.DataFrame) -> str:
    """``node_sinfo.csv`` with its quirks: blanks after the commas, and a node listed once a partition it is in."""
    listed = pd.concat([nodes, nodes[:: max(len(nodes) // 5, 1)]])
    lines = [", ".join(names(NODE_SINFO))]
    lines += [
        f"{row.node}, {row.CPUS}, {row.MEMORY}, {row.TMP_DISK}, {row.GRES}" for row in listed.itertuples(index=False)
    ]
    return "\n".join(lines) + "\n"


def power_quantiles(nodes: pd.DataFrame) -> pd.DataFrame:
    """``node_power_dist.csv``: quantiles that rise from just below the idle power at p2 to a busy node's."""
    idle = nodes["idle_w"].to_numpy()
    frame = {"node": nodes["node"], "count": 80_000 + np.arange(len(nodes)), "min": idle - 8}
    for position, name in enumerate(POWER_QUANTILES):
        share = (position - POWER_QUANTILES.index("p2")) / len(POWER_QUANTILES)
        frame[name] = np.rint(2 * (idle + 190 * share)) / 2
    frame["max"] = idle + 260
    return pd.DataFrame(frame)[names(NODE_POWER)]


PERIOD_US = 60_000_000
#: Power of a node between runs beside its type's reference idle power: scattered around it by so many W.
_IDLE_JITTER_W = 3.0
_BUSY_JITTER_W = 6.0
#: How the faulty runs are shared among the faults: what the study counted (README, error_breakdown).
FAULTS = {"no file": 44, "no sample": 137, "missing samples": 14, "0 W": 470}


def power_samples(runs: pd.DataFrame, noise: bool, faults: float, random: np.random.Generator) -> pd.DataFrame:
    """Samples of all jobs, in order of job, node and time: slurm_job_id, node, time_us, watts (whole numbers).

    ``runs`` are those of `sizer.study.generated.design.design`. Each sample that is held at some time of a run shows
    the run's power, so that without noise the sum over the run is its energy exactly.
    """
    logs = runs.groupby(["slurm_job_id", "node"], sort=True).agg(
        first=("start_us", "min"), last=("end_us", "max"), idle=("idle_offset_w", "first"), gpu=("is_gpu", "first")
    )
    phase = random.integers(0, PERIOD_US, len(logs))
    begin = (logs["first"].to_numpy() - 3 * PERIOD_US) // PERIOD_US * PERIOD_US + phase
    count = (logs["last"].to_numpy() + 2 * PERIOD_US - begin) // PERIOD_US + 1
    log = np.repeat(np.arange(len(logs)), count)
    step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    time_us = begin[log] + step * PERIOD_US
    samples = pd.DataFrame({"log": log, "time_us": time_us})
    keys = logs.reset_index()[["slurm_job_id", "node"]]
    run = _run_of(samples, runs, keys)
    idle = logs["idle"].to_numpy()[log] + np.where(logs["gpu"].to_numpy()[log], 374.0, 220.0)
    power = np.where(run >= 0, runs["std_power"].to_numpy()[run] + runs["idle_offset_w"].to_numpy()[run], idle)
    if noise:
        power += np.where(run >= 0, _BUSY_JITTER_W, _IDLE_JITTER_W) * random.normal(size=len(power))
    samples = samples.assign(watts=np.maximum(np.rint(power), 1).astype(np.int64), run=run)
    samples = _with_faults(samples, runs, keys, faults, random)
    where = keys.iloc[samples["log"].to_numpy()].reset_index(drop=True)
    return pd.concat([where, samples[["time_us", "watts"]].reset_index(drop=True)], axis=1)


def _run_of(samples: pd.DataFrame, runs: pd.DataFrame, keys: pd.DataFrame) -> IntArray:
    """Position of the run during which each sample is held, -1 for none; runs of a node lie more than 60 s apart."""
    numbered = keys.assign(log=np.arange(len(keys)))
    log = runs[["slurm_job_id", "node"]].merge(numbered, how="left")["log"].to_numpy()
    base = min(samples["time_us"].min(), runs["start_us"].min()) - PERIOD_US
    width = samples["time_us"].max() - base + 2 * PERIOD_US
    order = np.argsort(log * width + runs["start_us"].to_numpy() - base)
    starts = (log * width + runs["start_us"].to_numpy() - base - PERIOD_US)[order]
    key = samples["log"].to_numpy() * width + samples["time_us"].to_numpy() - base
    found = np.searchsorted(starts, key, side="left") - 1
    run = order[np.maximum(found, 0)]
    inside = (
        (found >= 0)
        & (log[run] == samples["log"].to_numpy())
        & (samples["time_us"].to_numpy() <= runs["end_us"].to_numpy()[run])
    )
    return np.where(inside, run, -1)


def _with_faults(
    samples: pd.DataFrame, runs: pd.DataFrame, keys: pd.DataFrame, faults: float, random: np.random.Generator
) -> pd.DataFrame:
    """Takes samples of a share of the runs away, or sets one to 0 W."""
    faulty = random.permutation(len(runs))[: round(len(runs) * faults)]
    kinds = random.choice(list(FAULTS), len(faulty), p=np.array(list(FAULTS.values())) / sum(FAULTS.values()))
    run, lost = samples["run"].to_numpy(), np.zeros(len(samples), dtype=bool)
    jobs = runs["slurm_job_id"].to_numpy()[faulty[kinds == "no file"][:1]]  # a job has several runs: one is enough
    lost |= np.isin(keys["slurm_job_id"].to_numpy()[samples["log"].to_numpy()], jobs)
    lost |= np.isin(run, faulty[kinds == "no sample"])
    thinned = np.isin(run, faulty[kinds == "missing samples"])
    lost |= thinned & (np.arange(len(samples)) % 2 == 0)
    at_zero = faulty[kinds == "0 W"]
    _, first = np.unique(np.where(np.isin(run, at_zero), run, -1), return_index=True)
    watts = samples["watts"].to_numpy().copy()
    watts[[position + 1 for position in first if run[position] >= 0 and run[min(position + 1, len(run) - 1)] >= 0]] = 0
    return samples.assign(watts=watts)[~lost]


def write_power(samples: pd.DataFrame, path: Path, advance: Advance) -> int:
    """Write ``butter_e_energy.zip``: a CSV a job, local times with a Z that is wrong. Returns the number of jobs."""
    import pyarrow as pa
    import pyarrow.csv

    times = pd.to_datetime(samples["time_us"].to_numpy(), unit="us", utc=True).tz_convert(POWER_TIME_ZONE)
    local = pa.array(times.tz_localize(None).astype("datetime64[us]"))
    table = pa.table(
        {
            "timestamp": pa.compute.strftime(local, "%Y-%m-%dT%H:%M:%SZ"),
            "node": pa.array(samples["node"]),
            "watts": pa.array(samples["watts"]),
        }
    )
    jobs = samples["slurm_job_id"].to_numpy()
    starts = np.flatnonzero(np.diff(jobs, prepend=-1))
    options = pa.csv.WriteOptions(quoting_style="none")
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
        for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(jobs)], strict=True)):
            stream = io.BytesIO()
            pa.csv.write_csv(table.slice(start, end - start), stream, options)
            archive.writestr(f"{jobs[start]}.csv", stream.getvalue())
            if number % 50 == 0:
                advance("power samples", number / len(starts))
    write_whole(path, whole.getvalue())
    return len(starts)
