"""Data as it was read: a table with what its source says of the target. Nothing is prepared yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Table:
    """A data set by its columns.

    ``targets`` and ``kind`` (regression or classification) are what the source itself says, empty and None where it
    says nothing; ``validation`` the part that it sets aside. ``remarks`` are sentences on how it was read.
    """

    name: str
    frame: pd.DataFrame
    targets: tuple[str, ...] = ()
    kind: str | None = None
    validation: pd.DataFrame | None = None
    remarks: tuple[str, ...] = ()
