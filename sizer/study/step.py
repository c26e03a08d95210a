"""The record of one step of a study: what came in, what each rule removed, what was written, what was found.

Every command of `sizer study` prints one, and every step's function returns one beside its frame:

    frame, step = some_step(frame, ...)
    step = StudyStep("trends", "medians and slopes of J per datum", rows_in=len(runs), rows_out=len(frame))

Beside it stand what all steps share: a table with the rules by which rows were left out of it, and the writing of
tables, each whole or not at all.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from sizer.base.records import Record, plain
from sizer.base.storage import write_whole
from sizer.base.units import counted

if TYPE_CHECKING:
    import pandas as pd

STEP_FORMAT = "sizer.study_step/1"

#: What is told of progress: what is being done, and the share of the whole that is.
Advance: TypeAlias = "Callable[[str, float], None]"


def unseen(what: str, share: float) -> None:
    """Progress that nobody sees."""


class Status(str, Enum):
    """What a step's table says of a row in a word; ``sentence`` says what that means."""

    sentence: str

    def __new__(cls, word: str, sentence: str) -> Status:
        """A member that is its word."""
        status = str.__new__(cls, word)
        status._value_, status.sentence = word, sentence
        return status

    def __str__(self) -> str:
        return self.value

    IDENTIFIED = "identified", "design and noise pin the coefficient down to 2 %, by three standard errors"
    ROUGH = "rough", "three standard errors are within the coefficient's whole: it is not 0, and not known to 2 %"
    NOT_IDENTIFIED = "not identified", "three standard errors are more than the coefficient itself"
    ZERO = "zero", "the fit is best without the term"
    WAS_THERE = "was there", "the file is left as it is: it has the checksum that is expected of it, or was noted"
    DOWNLOADED = "downloaded", "the file was fetched now"
    CHECKED = "checked", "the file has the SHA-256 that was given or published"
    NOTED = "noted: none is published to check against", "the SHA-256 is kept and held against later downloads"


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

    @classmethod
    def of(cls, name: str, meaning: str, met: Any, values: Any = None, counted: str = "runs") -> Rule:
        """The rule that met the rows whose flag in ``met`` is set; their ``values`` are the examples."""
        return cls(name, meaning, int(met.sum()), counted, () if values is None else examples(values[met]))

    @classmethod
    def listing(cls, name: str, meaning: str, met: Sequence[object], counted: str = "files") -> Rule:
        """The rule that met what is listed."""
        return cls(name, meaning, len(met), counted, examples(met))


def examples(values: Iterable[object], most: int = 3) -> tuple[str, ...]:
    """The first few different values as text, for a rule's examples."""
    return tuple(dict.fromkeys(map(str, values)))[:most]


class Table(NamedTuple):
    """A frame and the rules by which it came about."""

    frame: pd.DataFrame
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class StudyStep(Record):
    """What one step of a study did.

    ``rows_in`` and ``rows_out`` count the rows of its main table (None where it has no input). ``numbers`` maps names,
    which carry their unit (``overhead_energy_cpu_j``), to what was found; None is not known. ``table`` is a short
    table for people and programs, one mapping a row, all with the same keys; ``files`` are the paths written, and
    ``points`` what the step's figures are drawn of, one mapping a point.
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
    points: tuple[Mapping[str, Any], ...] = ()

    def in_short(self) -> str:
        """The step and its rows."""
        return f"{self.step}, {counted(self.rows_out, 'row')} out"

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


def record_rows(frame: pd.DataFrame) -> tuple[dict[str, Any], ...]:
    """A frame's rows for a record: what is not a finite number is None, not known."""
    return tuple({str(name): finite_or_none(value) for name, value in row.items()} for row in frame.to_dict("records"))


def drawn_points(frame: pd.DataFrame) -> tuple[dict[str, Any], ...]:
    """A frame's rows as points of a figure: five digits are more than a picture shows."""
    return tuple({name: _five_digits(value) for name, value in row.items()} for row in record_rows(frame))


def _five_digits(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value


def finite_or_none(value: Any) -> Any:
    """The value, None for a number that is not finite: JSON has no other."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def save_csv(frame: pd.DataFrame, folder: Path, name: str) -> str:
    """Write a frame as ``<name>.csv``; returns the path."""
    return save(folder / f"{name}.csv", frame.to_csv(index=False))


def save_parquet(frame: pd.DataFrame, folder: Path, name: str) -> str:
    """Write a frame as ``<name>.parquet``; returns the path."""
    return save(folder / f"{name}.parquet", frame.to_parquet(index=False))


def save_zip(path: Path, members: Iterable[tuple[str, str | bytes]]) -> str:
    """Write a zip file of those members, a name and its content each; returns the path."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return save(path, stream.getvalue())


def save_zipped_csv(frame: pd.DataFrame, path: Path) -> str:
    """Write a frame as the one CSV file of a zip file ``<name>.csv.zip``; returns the path."""
    return save_zip(path, [(path.stem, frame.to_csv(index=False))])


def save(path: Path, content: str | bytes) -> str:
    """Write a file whole or not at all; returns its path."""
    write_whole(path, content)
    return str(path)
