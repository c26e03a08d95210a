"""The published tables as data frames: metadata of runs, node tables, standardised runs, losses by epoch.

Each reader checks the columns, undoes the quirks of `schema` and answers with the frame and the rules by which
rows were left out. The power logs have their own module, `sizer.study.files.power_logs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sizer.base.errors import MeasurementError
from sizer.study import published as study
from sizer.study.files import locate, schema
from sizer.study.files.partitioned import Partitioned, Where
from sizer.study.files.schema import Column, names
from sizer.study.step import Rule, examples

_TRUE, _FALSE = {"true", "t", "1"}, {"false", "f", "0"}


class Table(NamedTuple):
    """A table and the rules by which rows of the file were left out of it."""

    frame: pd.DataFrame
    rules: tuple[Rule, ...]


def read_metadata(folder: Path, with_run_data: bool = False) -> Table:
    """Runs of ``butter_e_metadata``: the columns of `sizer.study.files.schema.METADATA`, times in UTC.

    ``run_data``, the largest column by far, is read only if asked for. Rows without a start, an end, a node or a job
    are left out and counted, as are those listed twice.
    """
    path = locate.locate(folder, locate.METADATA)
    columns = schema.METADATA if with_run_data else [column for column in schema.METADATA if column.name != "run_data"]
    frame = _read_text(path, but=() if with_run_data else ("run_data",))
    require(frame, names(columns), path, but=("experiment_id", "batch"))
    return _checked(_typed(frame, columns), "update_time", "host_name", path)


def read_standardized(folder: Path) -> Table:
    """Runs of ``runs_with_standardized_energy``: the columns of `sizer.study.files.schema.STANDARDIZED`."""
    path = locate.locate(folder, locate.STANDARDIZED)
    frame = _read_text(path)
    require(frame, names(schema.STANDARDIZED), path, but=("end_time", "start_time_int", "start_offset", "batch"))
    return _checked(_typed(frame, schema.STANDARDIZED), "update_time", "node", path)


def _read_text(path: Path, but: Sequence[str] = ()) -> pd.DataFrame:
    """A CSV file with every value as text; ``but`` are columns to leave out."""
    return locate.read_table(
        path,
        lambda stream: pd.read_csv(stream, dtype=str, keep_default_na=False, usecols=lambda name: name not in but),
    )


def read_nodes(folder: Path) -> Table:
    """Nodes: index node; type (None where it is not one of the study's), GPUs, and the 2 % quantile p2 of power, W.

    A node is listed once a partition that it is in; the first listing counts. Nodes without a power distribution have
    no p2.
    """
    path, power_path = (locate.locate(folder, source) for source in (locate.NODE_SINFO, locate.NODE_POWER))
    sinfo = locate.read_table(path, lambda stream: pd.read_csv(stream, dtype=str, skipinitialspace=True))
    sinfo = sinfo.rename(columns=str.strip).apply(lambda column: column.str.strip())
    require(sinfo, names(schema.NODE_SINFO), path)
    power = locate.read_table(power_path, lambda stream: pd.read_csv(stream, dtype={"node": str}))
    require(power, ["node", "p2"], power_path)
    nodes = sinfo.drop_duplicates("HOSTNAMES").rename(columns={"HOSTNAMES": "node"}).set_index("node")
    keys = nodes[["CPUS", "TMP_DISK", "MEMORY", "GRES"]].astype(str).agg(" ".join, axis=1)
    nodes = nodes.assign(type=keys.map(study.published()["node_types"]))
    nodes = nodes.join(power.drop_duplicates("node").set_index("node")["p2"].astype(float))
    unknown = nodes["type"].isna()
    meaning = "a node whose CPUs, disk, memory and GPUs are those of no known type: its runs cannot be standardised"
    rules = (
        Rule("listed twice", "a node listed again; its first listing counts", len(sinfo) - len(nodes), "nodes"),
        Rule("unknown node type", meaning, int(unknown.sum()), "nodes", examples(keys[unknown])),
    )
    return Table(nodes, rules)


def summaries(folder: Path) -> Partitioned:
    """``summary_by_epoch``, opened but not read: choose columns and partitions, then read."""
    path = locate.locate(folder, locate.SUMMARIES)
    if path.is_file():
        raise MeasurementError(f"{path} is not unpacked; `sizer study fetch {folder}` unpacks it (or `tar -xf` does)")
    return Partitioned.open(path)


def read_summaries(folder: Path, columns: Sequence[str] | None = None, where: Where | None = None) -> Table:
    """Rows of ``summary_by_epoch``, one an experiment, lists as numpy arrays; losses are read only if asked for.

    ``columns`` default to all but the lists over the epochs. ``where`` maps a column to a value, to a list of values
    or to a range ``(low, high)`` with both ends; partitions that cannot match are not opened.
    """
    wanted = columns or [column.name for column in schema.SUMMARY if column.dtype != "list"] + ["widths"]
    opened = summaries(folder)
    return Table(*opened.read(wanted, where))


def require(frame: pd.DataFrame, needed: Iterable[str], path: Path, but: Sequence[str] = ()) -> None:
    """Raise MeasurementError, which names them, where columns are missing from a file; ``but`` may be."""
    missing = [name for name in needed if name not in frame and name not in but]
    if missing:
        raise MeasurementError(
            f"{path} has no column {', '.join(missing)}; its columns are {', '.join(map(str, frame.columns[:20]))}"
        )


def _typed(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """The columns in their types, each missing one empty; what cannot be read is missing (NaN, NaT)."""
    typed: dict[str, Any] = {}
    for column in columns:
        text = frame[column.name] if column.name in frame else pd.Series("", index=frame.index)
        typed[column.name] = _column(text.str.strip(), column.dtype)
    return pd.DataFrame(typed)


def _column(text: pd.Series, dtype: str) -> pd.Series:
    if dtype.startswith("datetime"):
        return pd.to_datetime(text.where(text != ""), utc=True, format="ISO8601", errors="coerce").astype(dtype)
    if dtype in ("int64", "float64"):
        return pd.to_numeric(text, errors="coerce")
    if dtype == "bool":
        lower = text.str.lower()
        return lower.isin(_TRUE).where(lower.isin(_TRUE | _FALSE))
    return text


def _checked(frame: pd.DataFrame, end: str, node: str, path: Path) -> Table:
    """Leaves out rows that lack what no step can do without, and those listed twice."""
    numbers = ["old_experiment_id" if "old_experiment_id" in frame else "experiment_id", "slurm_job_id"]
    needed = ["start_time", end, *numbers, "size", "depth", "is_gpu"]
    incomplete = frame[needed].isna().any(axis=1) | (frame[node] == "") | (frame["dataset"] == "")
    backwards = ~incomplete & (frame[end] <= frame["start_time"])
    twice = ~incomplete & frame.duplicated("run_id")
    kept = frame[~(incomplete | backwards | twice)].reset_index(drop=True)
    if kept.empty:
        raise MeasurementError(f"{path} has {len(frame)} rows, none of which is a complete run")
    whole: Mapping[Any, Any] = {**dict.fromkeys([*numbers, "size", "depth"], "int64"), "is_gpu": bool}
    rows = "rows"
    rules = (
        Rule(
            "incomplete row", f"no {', '.join(needed)}, {node} or dataset, or not readable", int(incomplete.sum()), rows
        ),
        Rule("ends before it starts", f"{end} is not after start_time", int(backwards.sum()), rows),
        Rule("listed twice", "a run_id that an earlier row has", int(twice.sum()), rows),
    )
    return Table(kept.astype(whole), rules)
