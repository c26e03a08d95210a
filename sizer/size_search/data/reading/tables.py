"""A table by its cells: by rules that are decided from them, or by those of another table. And text in other tables."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sizer.size_search.data.reading.cells import Cells
from sizer.size_search.data.reading.decisions import decide
from sizer.size_search.data.reading.numbers import NumberForm
from sizer.size_search.data.reading.rules import (
    NUMBER,
    ColumnRule,
    Reading,
    ReadingRules,
    apply_rules,
    as_number,
    strange_words,
)
from sizer.size_search.data.table import Table

if TYPE_CHECKING:
    import pandas as pd


def read_by(cells: Cells, reading: Reading, notation: dict[str, Any]) -> tuple[pd.DataFrame, ReadingRules, list[str]]:
    """The table of the cells: by the rules of another one, or by its own, which are decided first."""
    if reading.wanted is not None:
        cells = cells.only([name for name in cells.names if name in reading.wanted])
    if reading.rules is not None:
        known = reading.rules.columns
        named = {rule.name for rule in known}
        decided = decide(cells.only([name for name in cells.names if name not in named]), reading.options)
        frame = apply_rules(cells, (*known, *decided.rules))
        rules = replace(reading.rules, columns=(*known, *decided.rules))
        return frame, rules, [*decided.remarks, *strange_words(cells, known)]
    decided = decide(cells, reading.options, _targets(cells, reading.targets))
    rules = ReadingRules(decided.rules, notation)
    return apply_rules(cells, decided.rules), rules, list(decided.remarks)


def _targets(cells: Cells, asked: Collection[str]) -> set[str]:
    """The names of the targets, of which some may be asked for by their position from the end (-1)."""
    count = len(cells.names)
    positions = [int(name) for name in asked if re.fullmatch("-[0-9]{1,6}", name) and name not in cells.names]
    return {*asked, *(cells.names[position] for position in positions if -count <= position < 0)}


def with_text_read(table: Table, reading: Reading) -> Table:
    """A table with its columns of text read as those of a file are; columns of other types stay as they are."""
    import numpy as np

    frame, typed = _without_missing(table.frame, reading)
    wanted = frame.columns if reading.wanted is None else reading.wanted
    texts = [name for name in frame.columns if name in wanted and _is_text(frame[name])]
    if (not texts and not typed) or not len(frame):
        return replace(table, frame=frame)
    lines = np.arange(1, len(frame) + 1)
    cells = Cells(table.name, tuple(texts), tuple(_as_cells(frame[name]) for name in texts), lines, place="row")
    read, rules, remarks = read_by(cells, reading, {})
    for name in texts:
        frame[name] = read[name].array
    kept = rules if table.rules is None else replace(table.rules, columns=rules.columns)
    if reading.rules is None:
        kept = replace(kept, columns=(*kept.columns, *typed))
    aside = (
        None if table.validation is None else with_text_read(Table(table.name, table.validation), Reading(rules=kept))
    )
    validation = None if aside is None else aside.frame
    return replace(table, frame=frame, rules=kept, validation=validation, remarks=(*table.remarks, *remarks))


def _as_cells(values: pd.Series[Any]) -> Any:
    import pyarrow as pa

    texts = ["" if is_missing else str(value).strip() for value, is_missing in zip(values, values.isna(), strict=True)]
    return pa.chunked_array([pa.array(texts, pa.large_string())])


def _is_text(values: pd.Series[Any]) -> bool:
    import pandas as pd

    is_categorical = isinstance(values.dtype, pd.CategoricalDtype)
    if is_categorical or not (values.dtype == object or isinstance(values.dtype, pd.StringDtype)):
        return False
    known = values.dropna()
    return len(known) > 0 and bool(known.map(lambda value: isinstance(value, str)).all())


def _without_missing(frame: pd.DataFrame, reading: Reading) -> tuple[pd.DataFrame, list[ColumnRule]]:
    """A copy of a frame in which the numbers that stand for missing are, and rules that say so."""
    import pandas as pd

    copy: pd.DataFrame = frame.copy(deep=False)
    rules = []
    for name in copy.columns:
        words = _missing_in(name, reading)
        if not words or not pd.api.types.is_numeric_dtype(copy[name]) or pd.api.types.is_bool_dtype(copy[name]):
            continue
        values = copy[name].astype("Int64") if pd.api.types.is_integer_dtype(copy[name]) else copy[name]
        numbers = [number for number in map(as_number, words) if number is not None]
        copy[name] = values.mask(values.isin(numbers)) if values.isin(numbers).any() else copy[name]
        rules.append(ColumnRule(name, NUMBER, NumberForm(".", ""), None, words))
    return copy, rules


def _missing_in(name: str, reading: Reading) -> tuple[str, ...]:
    if reading.rules is None:
        return reading.options.missing
    rule = reading.rules.of(name)
    return () if rule is None else rule.missing
