"""A step of a study as a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sizer.base.units import counted, format_count
from sizer.report.layout import BLANK, Block, Column, Line, Paragraph, Table
from sizer.study.step import Rule, StudyStep

#: Longest table shown whole, about a screen; of a longer one the ends.
_MOST_ROWS = 40


def step_report(record: StudyStep) -> Iterator[Block]:
    """Rows in and out, each rule with its count, the numbers, the table, the files written."""
    yield Line(f"{record.step}: {record.title}", strong=True)
    came = "" if record.rows_in is None else f"{counted(record.rows_in, 'row')} in, "
    yield Line(f"{came}{counted(record.rows_out, 'row')} out")
    if record.rules:
        yield BLANK
        yield from _rules(record.rules)
    if record.numbers:
        values = [_shown(value) for value in record.numbers.values()]
        yield BLANK
        yield Table([Column("", list(record.numbers), folds=True), Column("", values, right=True, folds=True)])
    if record.table:
        yield BLANK
        yield from _table(record.table)
    if record.files:
        yield BLANK
        for path in record.files:
            yield Paragraph(path, "wrote ")


def _rules(rules: Sequence[Rule]) -> Iterator[Block]:
    """A table of the rules that met something, and one line with the names of the others."""
    met = [rule for rule in rules if rule.count]
    if met:
        such_as = [f" (such as {', '.join(rule.examples)})" if rule.examples else "" for rule in met]
        columns = [
            Column("rule", [rule.name for rule in met], whole=True),
            Column("count", [f"{format_count(rule.count)} {rule.counted}" for rule in met], right=True, whole=True),
            Column("meaning", [rule.meaning + some for rule, some in zip(met, such_as, strict=True)], folds=True),
        ]
        yield Table(columns)
    if quiet := list(dict.fromkeys(rule.name for rule in rules if not rule.count)):
        yield Paragraph(", ".join(quiet), "met nothing: ")


def _table(rows: Sequence[Mapping[str, Any]]) -> Iterator[Block]:
    """The table; of a long one the first and last rows."""
    hidden = len(rows) - _MOST_ROWS
    half = _MOST_ROWS // 2
    ends = [*rows[:half], *rows[-half:]] if hidden > 0 else rows
    columns = [
        Column(name, [_shown(row[name]) for row in ends], right=isinstance(first, (int, float)), folds=True)
        for name, first in rows[0].items()
    ]
    yield Table(columns)
    if hidden > 0:
        yield Line(f"(between the first and the last {half}, {counted(hidden, 'more row')} in the files)")


def _shown(value: object) -> str:
    """A value for people: whole numbers with separators, others with four digits, what is not known as a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return format_count(value) if isinstance(value, int) else f"{value:.4g}"
