"""The record of how a table's columns are read, and reading cells by it: a search's own, and new data alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sizer.base.errors import DataError, UsageError
from sizer.base.records import plain
from sizer.size_search.data.reading.cells import Cells
from sizer.size_search.data.reading.dates import ORDERS, read_clock, read_date
from sizer.size_search.data.reading.numbers import NumberForm, as_float, as_value, read_number, take_apart
from sizer.size_search.data.reading.rows import MARKS, WORDS, is_marker

if TYPE_CHECKING:
    import pandas as pd

READING_FORMAT = "sizer.reading/1"
NUMBER, DATE, CLOCK, BOOLEAN, TEXT = "number", "date", "time of day", "boolean", "text"
BOOLEANS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}


@dataclass(frozen=True)
class ReadingOptions:
    """What the user says of a table: its decimal mark, and cells that are missing values (numbers or words)."""

    decimal: str | None = None
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.decimal not in (None, ".", ","):
            raise UsageError(f"decimal is {self.decimal!r}; expected . or ,")


class ColumnRule(NamedTuple):
    """How one column is read.

    ``kind`` is number, date, time of day, boolean or text. ``form`` writes its numbers; a decimal mark of "" means that
    only whole numbers were seen. ``order`` is that of its dates. ``missing`` are the cells that say that there is no
    value, beside empty ones and the usual marks of a column that is not text. ``is_used`` says whether a network needs
    the column to predict.
    """

    name: str
    kind: str
    form: NumberForm | None = None
    order: str | None = None
    missing: tuple[str, ...] = ()
    is_used: bool = True


@dataclass(frozen=True)
class ReadingRules:
    """How every column of a table is read; ``notation`` says how the file is written, for people."""

    columns: tuple[ColumnRule, ...]
    notation: Mapping[str, Any]

    def of(self, name: str) -> ColumnRule | None:
        """The rule of a column, None for one that has none."""
        return next((rule for rule in self.columns if rule.name == name), None)

    def used(self, names: Collection[str]) -> ReadingRules:
        """The rules, with those columns marked that a network predicts from."""
        return replace(self, columns=tuple(rule._replace(is_used=rule.name in names) for rule in self.columns))

    def to_dict(self) -> dict[str, Any]:
        """The rules as the JSON data ``sizer.reading/1``."""
        return {"format": READING_FORMAT, **plain(self)}


class Reading(NamedTuple):
    """How a table is to be read: what the user says, which columns are targets, or the rules of another table.

    ``wanted`` are the only columns that matter, None for all.
    """

    options: ReadingOptions = ReadingOptions()
    targets: tuple[str, ...] = ()
    rules: ReadingRules | None = None
    wanted: tuple[str, ...] | None = None

    @property
    def expected(self) -> tuple[str, ...]:
        """Columns that the table has to have as far as is known."""
        if self.wanted is not None:
            return self.wanted
        return () if self.rules is None else tuple(rule.name for rule in self.rules.columns)


def read_column(cells: Cells, position: int, rule: ColumnRule) -> pd.Series[Any]:
    """A column's values by its rule. Raises DataError, with the line, for a cell that does not fit."""
    if rule.kind == NUMBER and (values := _plain_numbers(cells.columns[position], rule)) is not None:
        return _series(values, rule.name)
    distinct, codes = _distinct(cells.columns[position])
    read = [_value(cell, rule, cells, position) for cell in distinct]
    return _series(_spread(read, codes, rule.kind), rule.name)


def _series(values: Any, name: str) -> pd.Series[Any]:
    import pandas as pd

    series: pd.Series[Any] = pd.Series(values, name=name)
    return series


def _distinct(column: Any) -> tuple[list[str], Any]:
    """The different cells of a column, and which of them each row has."""
    encoded = column.combine_chunks().dictionary_encode()
    if hasattr(encoded, "combine_chunks"):
        encoded = encoded.combine_chunks()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)


_WHOLE = r"^-?[0-9]{1,18}$"
_LONG = r"^-?[0-9]{19,}$"


def plain_pattern(decimal: str) -> str:
    """Numbers that Arrow reads as this module does: no marks but a decimal one."""
    return rf"^-?[0-9]+({re.escape(decimal)}[0-9]+)?([eE][+-]?[0-9]+)?$"


def blanks(column: Any) -> Any:
    """Which cells of an Arrow array say that there is no value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.is_in(column, value_set=pa.array(["", *sorted(MARKS | WORDS)], pa.large_string()))


def _plain_numbers(column: Any, rule: ColumnRule) -> Any:
    """The values of a column whose cells are all plainly written numbers or no value, at Arrow's speed; else None."""
    import pyarrow as pa
    import pyarrow.compute as pc

    assert rule.form is not None
    decimal = rule.form.decimal or "."
    known = pc.if_else(blanks(column), pa.scalar(None, pa.large_string()), column)
    is_plain = pc.all(pc.match_substring_regex(known, plain_pattern(decimal))).as_py()
    if not is_plain or rule.missing or rule.form.affix:
        return None
    is_whole = pc.all(pc.match_substring_regex(known, _WHOLE)).as_py()
    is_long = not is_whole and pc.any(pc.match_substring_regex(known, _LONG)).as_py()
    if is_long or not (is_whole or rule.form.decimal) or known.null_count == len(known):
        return None
    known = pc.replace_substring(known, decimal, ".")
    has_gaps = known.null_count > 0
    read = known.cast(pa.int64() if is_whole else pa.float64())
    if is_whole and has_gaps:
        import pandas as pd

        return pd.array(read.to_pylist(), dtype="Int64")
    return read.to_numpy()


def _value(cell: str, rule: ColumnRule, cells: Cells, position: int) -> Any:
    """The value of one cell, None where it is missing."""
    if not cell or cell in rule.missing:
        return None
    if rule.kind == TEXT:
        return cell
    if is_marker(cell) or ((value := _READERS[rule.kind](cell, rule)) is None and not _has_digits(cell)):
        return None
    if value is None:
        told = f"{cells.name}: column {rule.name!r} holds {cell[:40]!r} in {cells.where(position, cell)}"
        raise DataError(f"{told}, which does not fit how the column is read ({describe(rule)}); write it alike")
    return None if _is_missing_number(value, rule) else value


def _has_digits(cell: str) -> bool:
    return any(c.isdigit() for c in cell)


def _is_missing_number(value: Any, rule: ColumnRule) -> bool:
    """Whether a value is one of the rule's missing words by its number: -200,0 where -200 is named."""
    return rule.kind == NUMBER and any(value == number for number in map(as_number, rule.missing) if number is not None)


def as_number(word: str) -> int | float | None:
    """A word as a number, None for one that is none."""
    try:
        return as_value(word)
    except ValueError:
        return None


def _read_number(cell: str, rule: ColumnRule) -> int | float | None:
    form = rule.form
    assert form is not None
    if form.decimal:
        text = read_number(cell, form)
        return None if text is None else as_value(text)
    taken = take_apart(cell)
    if taken is None or taken.affix != form.affix:
        return None
    different = {as_value(value) for value in taken.values if value is not None}
    return different.pop() if len(different) == 1 else None


def _read_date(cell: str, rule: ColumnRule) -> float | None:
    stamp = read_date(cell)
    return None if stamp is None or rule.order is None else stamp.seconds[ORDERS.index(rule.order)]


_READERS: dict[str, Callable[[str, ColumnRule], Any]] = {
    NUMBER: _read_number,
    DATE: _read_date,
    CLOCK: lambda cell, _: read_clock(cell),
    BOOLEAN: lambda cell, _: BOOLEANS.get(cell),
}


def _spread(read: Sequence[Any], codes: Any, kind: str) -> Any:
    """Values for every row from those of the different cells."""
    import pandas as pd

    has_gaps = any(value is None for value in read)
    if kind == TEXT or (kind == BOOLEAN and has_gaps):
        return _objects(read)[codes]
    if kind == BOOLEAN:
        return np.array(read, dtype=bool)[codes] if read else np.empty(0, bool)
    if kind == DATE:
        return np.array([_stamp(value) for value in read], dtype="datetime64[us]")[codes]
    if all(isinstance(value, int) for value in read if value is not None) and kind == NUMBER:
        if any(value is not None and abs(value) >= 2**63 for value in read):
            return _objects(read)[codes]
        if has_gaps:
            return pd.array([read[code] for code in codes], dtype="Int64")
        return np.array(read, dtype=np.int64)[codes]
    return np.array([np.nan if value is None else as_float(value) for value in read], dtype=np.float64)[codes]


def _objects(values: Sequence[Any]) -> Any:
    held = np.empty(len(values), dtype=object)
    held[:] = list(values)
    return held


def _stamp(seconds: float | None) -> Any:
    return np.datetime64("NaT") if seconds is None else np.datetime64(round(seconds * 1e6), "us")


def describe(rule: ColumnRule) -> str:
    """A rule in words."""
    if rule.kind == NUMBER and rule.form is not None:
        form = rule.form
        parts = [f"decimal {'comma' if form.decimal == ',' else 'point'}" if form.decimal else "whole numbers"]
        parts += [f"digits grouped by {form.grouping!r}"] if form.grouping else []
        return ", ".join([*parts, *([f"in {form.affix}"] if form.affix else [])])
    if rule.kind == DATE:
        return f"dates, {dict(zip(ORDERS, ('year', 'day', 'month'), strict=True))[rule.order or 'ymd']} first"
    return {CLOCK: "times of day", BOOLEAN: "true or false"}.get(rule.kind, rule.kind)


def apply_rules(cells: Cells, rules: Sequence[ColumnRule]) -> pd.DataFrame:
    """The table that the cells hold; a column without a rule is text."""
    import pandas as pd

    by_name = {rule.name: rule for rule in rules}
    columns = {
        name: read_column(cells, position, by_name.get(name, ColumnRule(name, TEXT)))
        for position, name in enumerate(cells.names)
    }
    frame: pd.DataFrame = pd.DataFrame(columns, index=pd.RangeIndex(len(cells.lines)), columns=list(cells.names))
    return frame


def strange_words(cells: Cells, rules: Sequence[ColumnRule]) -> list[str]:
    """Sentences on words that a column of numbers or dates did not have before: they count as missing."""
    said = []
    for rule in rules:
        if rule.kind == TEXT or rule.name not in cells.names:
            continue
        position = cells.names.index(rule.name)
        words = [cell for cell in _distinct(cells.columns[position])[0] if cell and not _has_digits(cell)]
        new = [
            word
            for word in words
            if not is_marker(word) and word not in rule.missing and _READERS[rule.kind](word, rule) is None
        ]
        if new:
            said.append(
                f"{rule.name!r} holds {new[0][:40]!r} ({cells.where(position, new[0])}), which is taken as missing"
            )
    return said
