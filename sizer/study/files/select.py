"""What a folder holds, and one of its tables filtered by column and row and written as Parquet."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sizer.base.errors import MeasurementError, UsageError
from sizer.base.storage import write_whole
from sizer.study.files import locate
from sizer.study.files.partitioned import Partitioned, Where
from sizer.study.files.power_logs import read_power
from sizer.study.files.tables import Table, read_metadata, read_nodes, read_standardized, summaries
from sizer.study.step import Advance, StudyStep, unseen

if TYPE_CHECKING:
    import pyarrow as pa

_TABLES: dict[str, Callable[[Path], Table]] = {
    "metadata": lambda folder: read_metadata(folder, with_run_data=True),
    "power": lambda folder: _power_table(folder),
    "nodes": lambda folder: _node_table(folder),
    "standardized": read_standardized,
}

#: Rows whose values the record shows.
_SHOWN = 3


def describe(folder: Path) -> StudyStep:
    """Which of the study's files a folder has, with their size; the record warns of those that a step would miss."""
    if not folder.is_dir():
        raise MeasurementError(f"{folder} is no folder; expected one with the study's files")
    rows = []
    for source in locate.ALL:
        found = locate.find(folder, source)
        size = None if found is None else _size(found)
        rows.append({"file": found.name if found else source.names[0], "bytes": size, "holds": source.holds})
    missing = [source for source in locate.RAW if locate.find(folder, source) is None]
    warnings = []
    if missing and locate.find(folder, locate.STANDARDIZED) is None:
        names = ", ".join(source.names[0] for source in missing)
        warnings.append(f"`sizer study energy` would miss {names}; `sizer study fetch` gets them from {locate.PAGE}")
    if (folder / "GENERATED").exists():
        warnings.append("these files are made from the cost model (sizer study generate), not measured")
    present = sum(row["bytes"] is not None for row in rows)
    return StudyStep("read", f"files of {folder}", None, present, table=tuple(rows), warnings=tuple(warnings))


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def select(
    folder: Path,
    name: str,
    columns: Sequence[str] | None,
    where: Where,
    out: Path | None,
    advance: Advance = unseen,
) -> StudyStep:
    """Read a table, filtered, and write it as ``<name>.parquet`` into ``out`` (None: nothing is written).

    ``name`` is one of metadata, power, nodes, summaries, standardized, or a folder of partitioned Parquet inside
    ``folder``. Partitioned tables are read and written a batch at a time.
    """
    advance(f"reading {name}", 0.0)
    if name in _TABLES:
        frame, rules = _TABLES[name](folder)
        chosen = _filtered(frame, where, columns)
        path = None if out is None else out / f"{name}.parquet"
        if path is not None:
            write_whole(path, chosen.to_parquet(index=False))
        return _step(name, len(frame), len(chosen), rules, path, chosen.head(_SHOWN))
    opened = summaries(folder) if name == "summaries" else Partitioned.open(folder / name)
    return _streamed(opened, name, columns, where, out)


def _streamed(
    opened: Partitioned, name: str, columns: Sequence[str] | None, where: Where, out: Path | None
) -> StudyStep:
    import pyarrow as pa

    fields = opened.dataset.schema
    wanted = list(columns or [field.name for field in fields if not pa.types.is_nested(field.type)])
    _, rules = opened.fragments(wanted, where)
    batches = opened.batches(wanted, where)
    path = None if out is None else out / f"{Path(name).name}.parquet"
    count, head = _write_batches(batches, opened.schema_of(wanted), path)
    return _step(name, None, count, rules, path, head)


def _write_batches(batches: Iterator[pa.RecordBatch], schema: pa.Schema, path: Path | None) -> tuple[int, pd.DataFrame]:
    """Write batches as they come, into a file that appears when it is complete; returns the rows and the first few."""
    import pyarrow as pa
    import pyarrow.parquet

    count, head = 0, schema.empty_table().to_pandas()
    with ExitStack() as opened:
        writer = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.tmp")
            opened.callback(temporary.unlink, missing_ok=True)
            writer = opened.enter_context(pa.parquet.ParquetWriter(temporary, schema))
        for batch in batches:
            head = batch.slice(0, _SHOWN).to_pandas() if not count else head
            count += batch.num_rows
            if writer is not None:
                writer.write_batch(batch)
        if writer is not None and path is not None:
            writer.close()
            temporary.replace(path)
    return count, head


def _step(name: str, came: int | None, count: int, rules: Any, path: Path | None, head: pd.DataFrame) -> StudyStep:
    """The record: a row a column, with what its first rows hold."""
    table = tuple(
        {"column": str(column), "type": str(values.dtype), "first rows": ", ".join(map(_short, values))}
        for column, values in head.items()
    )
    return StudyStep("read", name, came, count, tuple(rules), table=table, files=(str(path),) if path else ())


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
    return Table(nodes.frame.reset_index(), nodes.rules)


def _filtered(frame: pd.DataFrame, where: Where, columns: Sequence[str] | None) -> pd.DataFrame:
    if unknown := [name for name in (*(columns or ()), *where) if name not in frame]:
        raise UsageError(f"no column {', '.join(unknown)}; expected some of {', '.join(frame.columns)}")
    for name, value in where.items():
        column = frame[name]
        if isinstance(value, tuple):
            low, high = value
            frame = frame[
                (column >= (column.min() if low is None else low))
                & (column <= (column.max() if high is None else high))
            ]
        else:
            wanted = value if isinstance(value, list) else [value]
            frame = frame[column.isin(wanted) | column.astype(str).isin(map(str, wanted))]
    return frame[list(columns)] if columns else frame


def parse_where(texts: Sequence[str]) -> dict[str, Any]:
    """``dataset=mnist``, ``depth=2,4`` and ``size=32..1024`` as a filter of `Partitioned.read`.

    Raises UsageError for a text without a sign of equality.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise UsageError(f"--where is {text!r}; expected COLUMN=VALUE, COLUMN=A,B or COLUMN=LOW..HIGH")
        low, dots, high = value.partition("..")
        if dots:
            found[name] = (_value(low), _value(high))
        else:
            values = [_value(part) for part in value.split(",")]
            found[name] = values if len(values) > 1 else values[0]
    return found


def _value(text: str) -> Any:
    """A number where the text is one, true or false as a flag, nothing (an open end) where it is empty."""
    text = text.strip()
    if not text:
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text
