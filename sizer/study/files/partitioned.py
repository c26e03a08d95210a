"""Hive-partitioned Parquet (BUTTER, BUTTER-E) opened lazily: columns and partitions are chosen before anything is read.

A folder `dataset=mnist/shape=rectangle/...` tells by its name what is in it, so a filter on such a key leaves whole
folders unopened: that is how 671 GB can be filtered on a laptop.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from sizer.base.errors import MeasurementError, UsageError
from sizer.study.files.schema import SUMMARY_PARTITIONS, first_line
from sizer.study.step import Rule, Table

Fragments: TypeAlias = "list[pyarrow.dataset.Fragment]"
#: Column -> a value, a list of values, or a range (low, high) with both ends (None: open).
Where: TypeAlias = "Mapping[str, Any]"

#: Types of partition keys that are no text: pyarrow alone would take learning rates as text.
_KEY_TYPES = {
    **dict.fromkeys(("batch_size", "depth", "epochs", "size"), pa.int64()),
    **dict.fromkeys(("learning_rate", "label_noise", "momentum"), pa.float64()),
    "has_label_noise": pa.bool_(),
}


@dataclass(frozen=True)
class Partitioned:
    """A folder of partitioned Parquet; ``keys`` are the names that its folders give, in order."""

    path: Path
    keys: tuple[str, ...]
    dataset: pyarrow.dataset.Dataset = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> Partitioned:
        """Open a folder: reads its folders' names and one schema. Raises MeasurementError where no file is there."""
        files = sorted(str(file) for file in path.rglob("*.parquet")) if path.is_dir() else []
        if not files:
            raise MeasurementError(f"{path} holds no Parquet file; expected folders such as dataset=mnist/shape=...")
        folders = Path(files[0]).relative_to(path).parts[:-1]
        keys = tuple(part.partition("=")[0] for part in folders if "=" in part)
        of_keys = pa.schema([(key, _KEY_TYPES.get(key, pa.string())) for key in keys])
        layout = {"partitioning": pa.dataset.partitioning(of_keys, flavor="hive"), "partition_base_dir": str(path)}
        try:
            schema = pa.schema([*_first_fields(files, keys), *of_keys])
            opened = pa.dataset.dataset(files, schema=schema, format="parquet", **layout)
        except (pa.ArrowException, OSError) as error:
            raise MeasurementError(f"{path} cannot be opened ({first_line(error)})") from None
        return cls(path, keys, opened)

    @property
    def columns(self) -> list[str]:
        """Names of all columns, the keys included."""
        return list(self.dataset.schema.names)

    def read(self, columns: Sequence[str], where: Where | None = None) -> Table:
        """The chosen rows, lists as numpy arrays, and the rules with the files that were left out."""
        fragments, rules = self.fragments(columns, where)
        batches = list(self._scan(fragments, columns, where))
        return Table(pa.Table.from_batches(batches, schema=self._schema_of(columns)).to_pandas(), rules)

    def write(
        self, columns: Sequence[str] | None, where: Where, path: Path | None, shown: int
    ) -> tuple[pd.DataFrame, int, tuple[Rule, ...]]:
        """Write the chosen rows, a batch at a time, as one Parquet file (None: nothing is written).

        ``columns`` None means all but lists. Answers with the first ``shown`` rows, how many there are, and the rules.
        """
        wanted = list(columns or [item.name for item in self.dataset.schema if not pa.types.is_nested(item.type)])
        fragments, rules = self.fragments(wanted, where)
        count, head = _write_batches(self._scan(fragments, wanted, where), self._schema_of(wanted), path, shown)
        return head, count, rules

    def fragments(self, columns: Sequence[str], where: Where | None = None) -> tuple[Fragments, tuple[Rule, ...]]:
        """Files that can hold chosen rows and have the columns; the rules count those that cannot be used.

        Raises UsageError for a column that the folder does not have, MeasurementError where no file has them all.
        """
        asked = [*columns, *(where or {})]
        if unknown := [name for name in asked if name not in self.columns]:
            raise UsageError(f"{self.path} has no column {', '.join(unknown)}; it has {', '.join(self.columns)}")
        needed = set(asked) - set(self.keys)
        usable, lacking, damaged = [], [], []
        missing: set[str] = set()
        of_keys = {name: value for name, value in (where or {}).items() if name in self.keys}
        for fragment in self.dataset.get_fragments(filter=_expression(of_keys)):
            try:
                absent = needed - set(fragment.physical_schema.names)
            except (pa.ArrowException, OSError):
                damaged.append(fragment.path)
                continue
            if absent:
                missing = missing or absent
                lacking.append(Path(fragment.path).relative_to(self.path))
            else:
                usable.append(fragment)
        if lacking and not usable:
            raise MeasurementError(f"no file of {self.path} has the column {', '.join(sorted(missing))}")
        return usable, (
            Rule.listing("missing column", f"a file without one of {', '.join(sorted(needed))}", lacking),
            Rule.listing("unreadable file", "a file that is no Parquet, or damaged", damaged),
        )

    def _scan(self, fragments: Fragments, columns: Sequence[str], where: Where | None) -> Iterator[pa.RecordBatch]:
        """The chosen rows a batch at a time, so that what is read at once stays small."""
        expression = _expression(where or {})
        for fragment in fragments:
            scanned = fragment.to_batches(self.dataset.schema, columns=list(columns), filter=expression)
            yield from (batch for batch in scanned if batch.num_rows)

    def _schema_of(self, columns: Sequence[str]) -> pa.Schema:
        """Arrow schema of the columns, in their order."""
        return pa.schema([self.dataset.schema.field(name) for name in columns])


def _expression(where: Where) -> pyarrow.dataset.Expression | None:
    """The filter that Arrow understands, None where every row is chosen."""
    found = None
    for name, value in where.items():
        column = pa.dataset.field(name)
        if isinstance(value, tuple):
            low, high = value
            parts = ([] if low is None else [column >= low]) + ([] if high is None else [column <= high])
        else:
            parts = [column.isin(value) if isinstance(value, list) else column == value]
        for part in parts:
            found = part if found is None else found & part
    return found


def _first_fields(files: Sequence[str], keys: Sequence[str]) -> list[pa.Field]:
    """Columns of the first file that can be read, without the keys."""
    for file in files:
        with suppress(pa.ArrowException, OSError):
            return [item for item in pa.parquet.read_schema(file).remove_metadata() if item.name not in keys]
    raise MeasurementError(f"none of the {len(files)} files such as {files[0]} is readable Parquet")


def _write_batches(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, path: Path | None, shown: int
) -> tuple[int, pd.DataFrame]:
    """Write batches as they come, into a file that appears when it is complete; returns the rows and the first few."""
    count, head = 0, schema.empty_table().to_pandas()
    with ExitStack() as opened:
        writer = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.tmp")
            opened.callback(temporary.unlink, missing_ok=True)
            writer = opened.enter_context(pa.parquet.ParquetWriter(temporary, schema))
        for batch in batches:
            head = batch.slice(0, shown).to_pandas() if not count else head
            count += batch.num_rows
            if writer is not None:
                writer.write_batch(batch)
        if writer is not None and path is not None:
            writer.close()
            temporary.replace(path)
    return count, head


def write_summaries(summaries: pd.DataFrame, folder: Path) -> str:
    """Write losses by epoch as a folder partitioned as published, beside the old one until it is whole."""
    fresh = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    table = pa.Table.from_pandas(summaries, preserve_index=False)
    keys = pa.schema([table.schema.field(name) for name in SUMMARY_PARTITIONS])
    partitioning = pa.dataset.partitioning(keys, flavor="hive")
    pa.dataset.write_dataset(table, fresh, format="parquet", partitioning=partitioning, max_partitions=100_000)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.replace(folder)
    return str(folder)


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
