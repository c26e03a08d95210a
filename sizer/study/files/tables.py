"""The published tables as data frames: what a folder has of them, read, filtered, written as Parquet.

Metadata of runs, node tables, standardised runs, losses by epoch: each reader checks the columns, undoes the quirks of
`sizer.study.files.schema` and answers with the frame and the rules by which rows were left out. The power logs have
their own module, `sizer.study.files.power_logs`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sizer.base.errors import MeasurementError, UsageError
from sizer.base.units import counted
from sizer.study import published as study
from sizer.study.files import schema
from sizer.study.files.partitioned import Partitioned, Where
from sizer.study.files.power_logs import read_power
from sizer.study.files.schema import Source, locate, read_table
from sizer.study.step import Advance, Rule, StudyStep, Table, save_parquet, unseen

_TRUE, _FALSE = {"true", "t", "1"}, {"false", "f", "0"}
#: Rows whose values the record shows.
_SHOWN = 3


def read_metadata(folder: Path, with_run_data: bool = False) -> Table:
    """Runs of ``butter_e_metadata``, times in UTC.

    ``run_data``, the largest column by far, is read only if asked for. Rows without a start, an end, a node or a job
    are left out and counted, as are those listed twice.
    """
    path, but = locate(folder, schema.METADATA), () if with_run_data else ("run_data",)
    return _read_runs(path, schema.METADATA, "update_time", "host_name", ("experiment_id", "batch"), but)


def read_standardized(folder: Path) -> Table:
    """Runs of ``runs_with_standardized_energy``."""
    path, may_lack = locate(folder, schema.STANDARDIZED), ("end_time", "start_time_int", "start_offset", "batch")
    return _read_runs(path, schema.STANDARDIZED, "update_time", "node", may_lack)


def read_nodes(folder: Path) -> Table:
    """Nodes: index node; type (None where it is not one of the study's), GPUs, and the 2 % quantile p2 of power, W.

    A node is listed once a partition that it is in; the first listing counts. Nodes without a power distribution have
    no p2.
    """
    path, power_path = (locate(folder, source) for source in (schema.NODE_SINFO, schema.NODE_POWER))
    sinfo = read_table(path, lambda stream: pd.read_csv(stream, dtype=str, skipinitialspace=True))
    sinfo = sinfo.rename(columns=str.strip).apply(lambda column: column.str.strip())
    _require(sinfo, schema.NODE_SINFO.columns, path)
    power = read_table(power_path, lambda stream: pd.read_csv(stream, dtype={"node": str}))
    _require(power, ["node", "p2"], power_path)
    nodes = sinfo.drop_duplicates("HOSTNAMES").rename(columns={"HOSTNAMES": "node"}).set_index("node")
    keys = nodes[["CPUS", "TMP_DISK", "MEMORY", "GRES"]].astype(str).agg(" ".join, axis=1)
    nodes = nodes.assign(type=keys.map(study.published()["node_types"]))
    nodes = nodes.join(power.drop_duplicates("node").set_index("node")["p2"].astype(float))
    meaning = "a node whose CPUs, disk, memory and GPUs are those of no known type: its runs cannot be standardised"
    rules = (
        Rule("listed twice", "a node listed again; its first listing counts", len(sinfo) - len(nodes), "nodes"),
        Rule.of("unknown node type", meaning, nodes["type"].isna(), keys, "nodes"),
    )
    return Table(nodes, rules)


def summaries(folder: Path) -> Partitioned:
    """``summary_by_epoch``, opened but not read: choose columns and partitions, then read."""
    path = locate(folder, schema.SUMMARIES)
    if path.is_file():
        raise MeasurementError(f"{path} is not unpacked; `sizer study fetch {folder}` unpacks it (or `tar -xf` does)")
    return Partitioned.open(path)


def read_summaries(folder: Path, columns: Sequence[str] | None = None, where: Where | None = None) -> Table:
    """Rows of ``summary_by_epoch``, one an experiment, lists as numpy arrays; losses are read only if asked for.

    ``columns`` default to all but the lists over the epochs. ``where`` maps a column to a value, to a list of values
    or to a range ``(low, high)`` with both ends; partitions that cannot match are not opened.
    """
    plain = [name for name, dtype in schema.SUMMARIES.columns.items() if dtype != "list"]
    return summaries(folder).read(columns or [*plain, "widths"], where)


def _read_runs(
    path: Path, source: Source, end: str, node: str, may_lack: Sequence[str], but: Sequence[str] = ()
) -> Table:
    """A table of runs in its types, without rows that lack what no step can do without, and those listed twice.

    ``end`` and ``node`` are the columns of a run's end and node, ``may_lack`` those that a file need not have, ``but``
    those that are not read.
    """
    text = read_table(
        path, lambda stream: pd.read_csv(stream, dtype=str, keep_default_na=False, usecols=lambda name: name not in but)
    )
    columns = {name: dtype for name, dtype in source.columns.items() if name not in but}
    _require(text, [name for name in columns if name not in may_lack], path)
    frame = pd.DataFrame({name: _typed(text, name, dtype) for name, dtype in columns.items()})
    numbers = ["old_experiment_id" if "old_experiment_id" in frame else "experiment_id", "slurm_job_id"]
    needed = ["start_time", end, *numbers, "size", "depth", "is_gpu"]
    incomplete = frame[needed].isna().any(axis=1) | (frame[node] == "") | (frame["dataset"] == "")
    backwards = ~incomplete & (frame[end] <= frame["start_time"])
    twice = ~incomplete & frame.duplicated("run_id")
    kept = frame[~(incomplete | backwards | twice)].reset_index(drop=True)
    if kept.empty:
        raise MeasurementError(f"{path} has {counted(len(frame), 'row')}, none of which is a complete run")
    whole: Mapping[Any, Any] = {**dict.fromkeys([*numbers, "size", "depth"], "int64"), "is_gpu": bool}
    lacks = f"no {', '.join(needed)}, {node} or dataset, or not readable"
    rules = (
        Rule.of("incomplete row", lacks, incomplete, counted="rows"),
        Rule.of("ends before it starts", f"{end} is not after start_time", backwards, counted="rows"),
        Rule.of("listed twice", "a run_id that an earlier row has", twice, counted="rows"),
    )
    return Table(kept.astype(whole), rules)


def _require(frame: pd.DataFrame, needed: Iterable[str], path: Path) -> None:
    """Raise MeasurementError, which names them, where columns are missing from a file."""
    if missing := [name for name in needed if name not in frame]:
        raise MeasurementError(
            f"{path} has no column {', '.join(missing)}; its columns are {', '.join(map(str, frame.columns[:20]))}"
        )


def _typed(frame: pd.DataFrame, name: str, dtype: str) -> pd.Series:
    """A column in its type, empty where the frame lacks it; what cannot be read is missing (NaN, NaT)."""
    text = frame[name].str.strip() if name in frame else pd.Series("", index=frame.index)
    if dtype.startswith("datetime"):
        return pd.to_datetime(text.where(text != ""), utc=True, format="ISO8601", errors="coerce").astype(dtype)
    if dtype in ("int64", "float64"):
        return pd.to_numeric(text, errors="coerce")
    if dtype == "bool":
        lower = text.str.lower()
        return lower.isin(_TRUE).where(lower.isin(_TRUE | _FALSE))
    return text


def describe(folder: Path) -> StudyStep:
    """Which of the study's files a folder has, with their size; the record warns of those that a step would miss."""
    if not folder.is_dir():
        raise MeasurementError(f"{folder} is no folder; expected one with the study's files")
    found = [schema.find(folder, source) for source in schema.ALL]
    rows = tuple(
        {"file": path.name if path else source.names[0], "bytes": path and _size(path), "holds": source.holds}
        for source, path in zip(schema.ALL, found, strict=True)
    )
    missing = [source.names[0] for source in schema.RAW if schema.find(folder, source) is None]
    warnings = []
    if missing and schema.find(folder, schema.STANDARDIZED) is None:
        told = f"`sizer study energy` would miss {', '.join(missing)}"
        warnings.append(f"{told}; `sizer study fetch` gets them from {schema.PAGE}")
    if (folder / schema.GENERATED).exists():
        warnings.append("these files are made from the cost model (sizer study generate), not measured")
    present = sum(row["bytes"] is not None for row in rows)
    return StudyStep("read", f"files of {folder}", None, present, table=rows, warnings=tuple(warnings))


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def select(
    folder: Path, name: str, columns: Sequence[str] | None, where: Where, out: Path | None, advance: Advance = unseen
) -> StudyStep:
    """Read a table, filtered, and write it as ``<name>.parquet`` into ``out`` (None: nothing is written).

    ``name`` is one of metadata, power, nodes, summaries, standardized, or a folder of partitioned Parquet inside
    ``folder``. Partitioned tables are read and written a batch at a time.
    """
    advance(f"reading {name}", 0.0)
    path = None if out is None else out / f"{Path(name).name}.parquet"
    if name in _TABLES:
        frame, rules = _TABLES[name](folder)
        chosen = _filtered(frame, where, columns)
        came, count, head = len(frame), len(chosen), chosen.head(_SHOWN)
        if out is not None:
            save_parquet(chosen, out, name)
    else:
        opened = summaries(folder) if name == "summaries" else Partitioned.open(folder / name)
        head, count, rules = opened.write(columns, where, path, _SHOWN)
        came = None
    table = tuple(
        {"column": str(column), "type": str(values.dtype), "first rows": ", ".join(map(_short, values))}
        for column, values in head.items()
    )
    return StudyStep("read", name, came, count, rules, table=table, files=(str(path),) if path else ())


def _short(value: Any) -> str:
    text = str(value.tolist()) if hasattr(value, "tolist") else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _power_table(folder: Path) -> Table:
    power = read_power(folder)
    frame = power.logs.iloc[power.log].reset_index(drop=True)
    time = pd.to_datetime(power.time_us, unit="us", utc=True)
    return Table(frame.assign(timestamp=time, watts=power.watts), power.rules)


def _node_table(folder: Path) -> Table:
    nodes = read_nodes(folder)
    return nodes._replace(frame=nodes.frame.reset_index())


_TABLES: dict[str, Callable[[Path], Table]] = {
    "metadata": lambda folder: read_metadata(folder, with_run_data=True),
    "power": _power_table,
    "nodes": _node_table,
    "standardized": read_standardized,
}


def _filtered(frame: pd.DataFrame, where: Where, columns: Sequence[str] | None) -> pd.DataFrame:
    if unknown := [name for name in (*(columns or ()), *where) if name not in frame]:
        raise UsageError(f"no column {', '.join(unknown)}; expected some of {', '.join(frame.columns)}")
    for name, value in where.items():
        column = frame[name]
        if isinstance(value, tuple):
            low, high = value
            low, high = column.min() if low is None else low, column.max() if high is None else high
            frame = frame[column.between(low, high)]
        else:
            wanted = value if isinstance(value, list) else [value]
            frame = frame[column.isin(wanted) | column.astype(str).isin(map(str, wanted))]
    return frame[list(columns)] if columns else frame
