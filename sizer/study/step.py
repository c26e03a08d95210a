"""The record of one step of a study: what came in, what each rule removed, what was written, what was found.

Every command of `sizer study` prints one, and every step's function returns one beside its frame:

    frame, step = some_step(frame, ...)
    step = StudyStep("trends", "medians and slopes of J per datum", rows_in=len(runs), rows_out=len(frame))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from sizer.base.records import Record, plain
from sizer.base.storage import write_whole

if TYPE_CHECKING:
    import pandas as pd


Advance: TypeAlias = "Callable[[str, float], None]"


def unseen(what: str, share: float) -> None:
    """Progress that nobody sees."""


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


STEP_FORMAT = "sizer.study_step/1"


@dataclass(frozen=True)
class Rule:
    """One named rule of a step: the sentence that says what it does, and how many rows it removed or marked.

    ``counted`` names what is counted (``runs``, ``files``, ``samples``); ``examples`` are a few of the rows it met.
    """

    name: str
    meaning: str
    count: int
    counted: str = "runs"
    examples: tuple[str, ...] = ()


def examples(values: Iterable[object], most: int = 3) -> tuple[str, ...]:
    """The first few different values as text, for a rule's examples."""
    found = dict.fromkeys(map(str, values))
    return tuple(found)[:most]


@dataclass(frozen=True)
class StudyStep(Record):
    """What one step of a study did.

    ``rows_in`` and ``rows_out`` count the rows of its main table (None where it has no input). ``numbers`` maps names,
    which carry their unit (``overhead_energy_cpu_j``), to what was found; None is not known. ``table`` is a short
    table for people and programs, one mapping a row, all with the same keys; ``files`` are the paths written.
    """

    step: str
    title: str
    rows_in: int | None
    rows_out: int
    rules: tuple[Rule, ...] = ()
    numbers: Mapping[str, float | int | str | None] = field(default_factory=dict)
    table: tuple[Mapping[str, Any], ...] = ()
    files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The record ``sizer.study_step/1``."""
        return {"format": STEP_FORMAT} | {name: plain(value) for name, value in vars(self).items()}

    def rows(self) -> list[dict[str, Any]]:
        """The step's table, or its rules where it has none."""
        return [dict(row) for row in self.table] or [plain(rule) for rule in self.rules]

    def remarks(self) -> tuple[str, ...]:
        """The warnings."""
        return self.warnings

    def with_files(self, files: Sequence[object]) -> StudyStep:
        """The same record with the files that were written."""
        return replace(self, files=(*self.files, *map(str, files)))
