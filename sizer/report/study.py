"""A step of a study as text for a terminal (rich renderables)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from sizer.base.units import format_count
from sizer.report.layout import hanging, plain_table
from sizer.study.step import Rule, StudyStep

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

#: Longest table shown whole; of a longer one the ends.
_MOST_ROWS = 40


def renderables(record: StudyStep, console: Console) -> Iterator[RenderableType]:
    """Rows in and out, each rule with its count, the numbers, the table, the files written."""
    yield Text(f"{record.step}: {record.title}", style="bold")
    came = "" if record.rows_in is None else f"{format_count(record.rows_in)} rows in, "
    yield Text(f"{came}{format_count(record.rows_out)} rows out")
    if record.rules:
        yield Text()
        yield from _rules(record.rules, console)
    if record.numbers:
        yield Text()
        yield _number_table(record.numbers)
    if record.table:
        yield Text()
        yield from _table(record.table)
    if record.files:
        yield Text()
        for path in record.files:
            yield hanging("wrote ", path, console.width)


def _rules(rules: tuple[Rule, ...], console: Console) -> Iterator[RenderableType]:
    """A table of the rules that met something, and one line with the names of the others."""
    met = [rule for rule in rules if rule.count]
    if met:
        table = plain_table()
        table.add_column("rule", no_wrap=True)
        table.add_column("count", justify="right", no_wrap=True)
        table.add_column("meaning", overflow="fold")
        for rule in met:
            such_as = f" (such as {', '.join(rule.examples)})" if rule.examples else ""
            table.add_row(rule.name, f"{format_count(rule.count)} {rule.counted}", Text(rule.meaning + such_as))
        yield table
    if quiet := list(dict.fromkeys(rule.name for rule in rules if not rule.count)):
        yield hanging("met nothing: ", ", ".join(quiet), console.width)


def _number_table(numbers: Mapping[str, float | int | str | None]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right", overflow="fold")
    for name, value in numbers.items():
        table.add_row(name, Text(shown(value)))
    return table


def _table(rows: tuple[Mapping[str, Any], ...]) -> Iterator[RenderableType]:
    """The table; of a long one the first and last rows."""
    table = plain_table()
    for name, value in rows[0].items():
        table.add_column(name, justify="right" if isinstance(value, (int, float)) else "left", overflow="fold")
    hidden = len(rows) - _MOST_ROWS
    half = _MOST_ROWS // 2
    for index, row in enumerate(rows):
        if hidden > 0 and half <= index < len(rows) - half:
            continue
        table.add_row(*(Text(shown(value)) for value in row.values()))
    yield table
    if hidden > 0:
        yield Text(f"({hidden} rows between the first and the last {half} are in the files)")


def shown(value: object) -> str:
    """A value for people: whole numbers with separators, others with four digits, what is not known as a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return format_count(value) if isinstance(value, int) else f"{value:.4g}"
