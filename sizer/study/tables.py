"""Tables of the analyses: written as CSV, or as Parquet where there are many rows, and as rows of a step's record."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sizer.files import write_whole

if TYPE_CHECKING:
    import pandas as pd


def save_csv(frame: pd.DataFrame, folder: Path, name: str) -> str:
    """Write a frame as ``<name>.csv``, whole or not at all; returns the path."""
    path = folder / f"{name}.csv"
    write_whole(path, frame.to_csv(index=False))
    return str(path)


def save_parquet(frame: pd.DataFrame, folder: Path, name: str) -> str:
    """Write a frame as ``<name>.parquet``, whole or not at all; returns the path."""
    path = folder / f"{name}.parquet"
    write_whole(path, frame.to_parquet(index=False))
    return str(path)


def record_rows(frame: pd.DataFrame) -> tuple[dict[str, Any], ...]:
    """A frame's rows for a record: what is not a finite number is None, not known."""
    return tuple({str(name): finite_or_none(value) for name, value in row.items()} for row in frame.to_dict("records"))


def finite_or_none(value: Any) -> Any:
    """The value, None for a number that is not finite: JSON has no other."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
