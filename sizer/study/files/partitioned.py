"""Hive-partitioned Parquet (BUTTER, BUTTER-E) opened lazily: columns and partitions are chosen before anything is read.

A folder `dataset=mnist/shape=rectangle/...` tells by its name what is in it, so a filter on such a key leaves whole
folders unopened: that is how 671 GB can be filtered on a laptop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from sizer.base.errors import MeasurementError, UsageError
from sizer.study.step import Rule, examples

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.dataset

#: Column -> a value, a list of values, or a range (low, high) with both ends (None: open).
Where: TypeAlias = "Mapping[str, Any]"

_WHOLE = ("batch_size", "depth", "epochs", "size")
_REAL = ("learning_rate", "label_noise", "momentum")
_FLAGS = ("has_label_noise",)


@dataclass(frozen=True)
class Partitioned:
    """A folder of partitioned Parquet; ``keys`` are the names that its folders give, in order."""

    path: Path
    keys: tuple[str, ...]
    dataset: pyarrow.dataset.Dataset = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> Partitioned:
        """Open a folder: reads its folders' names and one schema. Raises MeasurementError where no file is there."""
        import pyarrow as pa
        import pyarrow.dataset

        first = next((found for found in path.rglob("*.parquet")), None) if path.is_dir() else None
        if first is None:
            raise MeasurementError(f"{path} holds no Parquet file; expected folders such as dataset=mnist/shape=...")
        keys = tuple(part.partition("=")[0] for part in first.relative_to(path).parts[:-1] if "=" in part)
        partitioning = pa.dataset.partitioning(pa.schema([(key, _key_type(key)) for key in keys]), flavor="hive")
        try:
            files = sorted(str(file) for file in path.rglob("*.parquet"))
            schema = _first_schema(files, keys)
            opened = pa.dataset.dataset(
                files, schema=schema, format="parquet", partitioning=partitioning, partition_base_dir=str(path)
            )
        except (pa.ArrowException, OSError) as error:
            raise MeasurementError(f"{path} cannot be opened ({str(error).splitlines()[0][:200]})") from None
        return cls(path, keys, opened)

    @property
    def columns(self) -> list[str]:
        """Names of all columns, the keys included."""
        return list(self.dataset.schema.names)

    def read(self, columns: Sequence[str], where: Where | None = None) -> tuple[pd.DataFrame, tuple[Rule, ...]]:
        """The chosen rows as a frame, lists as numpy arrays, and the rules with the files that were left out."""
        import pyarrow as pa

        fragments, rules = self.fragments(columns, where)
        batches = list(self._scan(fragments, columns, where))
        table = pa.Table.from_batches(batches, schema=self.schema_of(columns)) if batches else None
        frame = (table or self.schema_of(columns).empty_table()).to_pandas()
        return frame, rules

    def batches(self, columns: Sequence[str], where: Where | None = None) -> Iterator[pa.RecordBatch]:
        """The chosen rows a batch at a time, so that what is read at once stays small."""
        fragments, _ = self.fragments(columns, where)
        yield from self._scan(fragments, columns, where)

    def fragments(
        self, columns: Sequence[str], where: Where | None = None
    ) -> tuple[list[pyarrow.dataset.Fragment], tuple[Rule, ...]]:
        """Files that can hold chosen rows and have the columns; the rules count those that cannot be used.

        Raises UsageError for a column that the folder does not have, MeasurementError where no file has them all.
        """
        import pyarrow as pa

        self._check([*columns, *(where or {})])
        needed = {*columns, *(where or {})} - set(self.keys)
        usable: list[pyarrow.dataset.Fragment] = []
        lacking: list[pyarrow.dataset.Fragment] = []
        damaged: list[str] = []
        for fragment in self.dataset.get_fragments(filter=self._expression(where, keys_only=True)):
            try:
                missing = needed - set(fragment.physical_schema.names)
            except (pa.ArrowException, OSError):
                damaged.append(fragment.path)
                continue
            (lacking if missing else usable).append(fragment)
        names = [Path(fragment.path).relative_to(self.path) for fragment in lacking]
        if lacking and not usable:
            missing = needed - set(lacking[0].physical_schema.names)
            raise MeasurementError(f"no file of {self.path} has the column {', '.join(sorted(missing))}")
        wanted = ", ".join(sorted(needed))
        return usable, (
            Rule("missing column", f"a file without one of {wanted}", len(lacking), "files", examples(names)),
            Rule("unreadable file", "a file that is no Parquet, or damaged", len(damaged), "files", examples(damaged)),
        )

    def _check(self, columns: Sequence[str]) -> None:
        if unknown := [name for name in columns if name not in self.columns]:
            raise UsageError(f"{self.path} has no column {', '.join(unknown)}; it has {', '.join(self.columns)}")

    def _scan(
        self, fragments: Sequence[pyarrow.dataset.Fragment], columns: Sequence[str], where: Where | None
    ) -> Iterator[pa.RecordBatch]:
        expression = self._expression(where)
        for fragment in fragments:
            scanned = fragment.to_batches(self.dataset.schema, columns=list(columns), filter=expression)
            yield from (batch for batch in scanned if batch.num_rows)

    def schema_of(self, columns: Sequence[str]) -> pa.Schema:
        """Arrow schema of the columns, in their order."""
        import pyarrow as pa

        return pa.schema([self.dataset.schema.field(name) for name in columns])

    def _expression(self, where: Where | None, keys_only: bool = False) -> pyarrow.dataset.Expression | None:
        import pyarrow as pa
        import pyarrow.dataset

        found = None
        for name, value in (where or {}).items():
            if keys_only and name not in self.keys:
                continue
            column = pa.dataset.field(name)
            if isinstance(value, tuple):
                low, high = value
                parts = ([] if low is None else [column >= low]) + ([] if high is None else [column <= high])
            else:
                parts = [column.isin(value) if isinstance(value, list) else column == value]
            for part in parts:
                found = part if found is None else found & part
        return found


def _key_type(key: str) -> pa.DataType:
    """Type of a partition key: pyarrow alone would take learning rates as text."""
    import pyarrow as pa

    if key in _WHOLE:
        return pa.int64()
    if key in _REAL:
        return pa.float64()
    return pa.bool_() if key in _FLAGS else pa.string()


def _first_schema(files: Sequence[str], keys: Sequence[str]) -> pa.Schema:
    """Schema of the first file that can be read, and the keys."""
    import pyarrow as pa
    import pyarrow.parquet

    for file in files:
        try:
            schema = pa.parquet.read_schema(file)
        except (pa.ArrowException, OSError):
            continue
        fields = [item for item in schema.remove_metadata() if item.name not in keys]
        return pa.schema([*fields, *((key, _key_type(key)) for key in keys)])
    raise MeasurementError(f"none of the {len(files)} files such as {files[0]} is readable Parquet")
