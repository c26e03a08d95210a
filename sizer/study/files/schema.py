"""The published files' columns: names, pandas dtypes, units and meaning, and the quirks that come with them.

Source: the authors' notes on their data (BUTTER-E, OEDI submission 5991, CC-BY-4.0). Times are UTC in what this package
returns; energies are J, powers W, run times s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Column(NamedTuple):
    """One column of a published table; ``unit`` is empty for names, flags and counts."""

    name: str
    dtype: str
    meaning: str
    unit: str = ""


#: The time zone of the power samples, whatever their trailing Z says.
POWER_TIME_ZONE = "US/Mountain"

#: ``butter_e_energy.zip`` holds one ``<slurm_job_id>.csv`` a job.
POWER = (
    Column("timestamp", "str", "when the sample was taken: US/Mountain local time, its trailing Z is wrong"),
    Column("node", "str", "host name of the node"),
    Column("watts", "int64", "power of the whole node, held until the next sample", "W"),
)

_SETTINGS = (
    Column("size", "int64", "trainable parameters asked for"),
    Column("depth", "int64", "dense layers, the output layer included"),
    Column("shape", "str", "one of BUTTER's eight shapes"),
    Column("dataset", "str", "name of the data set"),
    Column("learning_rate", "str", "learning rate, as text"),
    Column("batch_size", "str", "observations a batch, as text"),
    Column("optimizer", "str", "name of the optimizer"),
    Column("is_gpu", "bool", "whether the run used the node's GPUs"),
)

#: ``butter_e_metadata.csv.zip``, one row a training run.
METADATA = (
    Column("run_id", "str", "UUID of the run"),
    Column("experiment_id", "str", "UUID of the experiment that the run repeats"),
    Column("old_experiment_id", "int64", "the experiment's number, which the other files use"),
    Column("slurm_job_id", "int64", "job whose power file covers the run; a job can hold several runs"),
    Column("start_time", "datetime64[us, UTC]", "when the run began"),
    Column("update_time", "datetime64[us, UTC]", "when its last epoch ended: the end of the run"),
    Column("host_name", "str", "node"),
    *_SETTINGS,
    Column("run_data", "str", "more about the run, as JSON"),
    Column("batch", "str", "the batch of experiments that the run belongs to"),
)

#: ``node_power_dist.csv``: quantiles of each node's power over two months. p2 is the 2 % quantile, p0001 the 0.01 %.
POWER_QUANTILES = (
    *("p000001", "p00001", "p0001", "p001"),
    *(f"p{percent}" for percent in range(1, 100)),
    *("p999", "p9999", "p99999", "p999999"),
)
NODE_POWER = (
    Column("node", "str", "host name"),
    Column("count", "int64", "power samples summarised"),
    Column("min", "float64", "least power", "W"),
    *(Column(name, "float64", "quantile of the node's power", "W") for name in POWER_QUANTILES),
    Column("max", "float64", "largest power", "W"),
)

#: ``node_sinfo.csv``: what SLURM knows of each node. Values are padded with blanks; a node can be listed twice.
NODE_SINFO = (
    Column("HOSTNAMES", "str", "host name"),
    Column("CPUS", "int64", "CPU cores"),
    Column("MEMORY", "int64", "memory", "MB"),
    Column("TMP_DISK", "int64", "scratch disk", "MB"),
    Column("GRES", "str", "GPUs, or (null)"),
)

#: Partition keys of ``summary_by_epoch``, in the order of its folders.
SUMMARY_PARTITIONS = (
    Column("dataset", "str", "name of the data set"),
    Column("shape", "str", "network shape"),
    Column("optimizer", "str", "name of the optimizer"),
    Column("learning_rate", "float64", "learning rate"),
    Column("batch_size", "int64", "observations a batch"),
    Column("regularizer", "str", "name of the regularizer"),
    Column("has_label_noise", "bool", "whether labels were changed at random"),
)
LOSS_QUANTILES = tuple(f"test_loss_quantile_{percent}" for percent in (0, 25, 50, 75, 100))
#: ``summary_by_epoch``, one row an experiment: losses over its repetitions, as lists over the epochs.
SUMMARY = (
    *SUMMARY_PARTITIONS,
    Column("depth", "int64", "dense layers, the output layer included"),
    Column("experiment_id", "int64", "the experiment's number: old_experiment_id of the metadata"),
    Column("num_free_parameters", "int64", "trainable parameters of the network"),
    Column("widths", "list", "output width of each dense layer"),
    Column("num_runs", "int64", "repetitions"),
    Column("size", "int64", "trainable parameters asked for"),
    Column("task", "str", "classification or regression"),
    Column("epoch", "list", "epoch number of each value of the lists"),
    *(Column(name, "list", "quantile of the test loss over the repetitions, an epoch each") for name in LOSS_QUANTILES),
)

#: ``runs_with_standardized_energy.csv.zip``, one row a run.
STANDARDIZED = (
    Column("run_id", "str", "UUID of the run"),
    Column("experiment_id", "int64", "the experiment's number; runs of depth 2 have that of the rectangle"),
    Column("slurm_job_id", "int64", "job"),
    Column("start_time", "datetime64[us, UTC]", "when the run began"),
    Column("update_time", "datetime64[us, UTC]", "when its last epoch ended"),
    Column("end_time", "datetime64[us, UTC]", "end of the run as the job noted it; missing where it did not"),
    Column("node", "str", "host name"),
    *_SETTINGS,
    Column("batch", "str", "batch of experiments"),
    Column("energy", "float64", "power samples held and summed over the run", "J"),
    Column("run_time", "float64", "update_time - start_time", "s"),
    Column("filter_1", "bool", "run time above 75,000 s"),
    Column("filter_2", "bool", "energy is 0"),
    Column("filter_3", "bool", "filter_3_stdevs above 4"),
    Column("filter_3_stdevs", "float64", "|z| of log run time within (is_gpu, dataset, size); missing for one run"),
    Column("filter", "bool", "any of the three"),
    Column("start_time_int", "int64", "start_time since 1970", "ns"),
    Column("start_offset", "int64", "start_time since the first run's", "ns"),
    Column("power", "float64", "energy / run_time", "W"),
    Column("num_reps", "int64", "runs of the same experiment on the same hardware"),
    Column("std_power", "float64", "power, as if on the reference node type", "W"),
    Column("std_energy", "float64", "std_power x run_time", "J"),
    Column("energy_overhead", "float64", "energy that a run of no work takes on this hardware", "J"),
    Column("non_overhead_energy", "float64", "std_energy - energy_overhead", "J"),
    Column("runtime_overhead", "float64", "time that a run of no work takes on this hardware", "s"),
    Column("non_overhead_runtime", "float64", "run_time - runtime_overhead", "s"),
)


def names(columns: Sequence[Column]) -> list[str]:
    """Names of the columns, in order."""
    return [column.name for column in columns]
