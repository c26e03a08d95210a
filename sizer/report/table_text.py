"""A table as lines of text that fit a width: columns are left out before cells are folded, and no name is broken."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sizer.report.layout import Column, Table

#: Spaces between two columns.
_GAP = 2


class TableText(NamedTuple):
    """Lines of a table: those of the titles (none where no column has one), and those of each row."""

    titles: list[str]
    rows: list[list[str]]


def table_text(table: Table, width: int) -> TableText:
    """A table in at most ``width`` columns, unless its longest names need more."""
    columns = columns_within(table, width)
    widths = _widths(columns, width, table.firm)
    titled = any(column.title for column in columns)
    titles = [column.title for column in columns]
    height = max((len(column.cells) for column in columns), default=0)
    rows = [[column.cells[n] if n < len(column.cells) else "" for column in columns] for n in range(height)]
    return TableText(
        _row(titles, columns, widths, table.firm) if titled else [], [_row(row, columns, widths) for row in rows]
    )


def columns_within(table: Table, width: int) -> list[Column]:
    """The columns that are kept at a width: of those that may be left out the last go first."""
    columns = list(table.columns)
    while needed(columns) > width and any(column.leave_out for column in columns):
        columns.remove(max(columns, key=lambda column: column.leave_out))
    return columns


def needed(columns: Sequence[Column]) -> int:
    """The width that columns need without folding."""
    return sum(map(_natural, columns)) + _GAP * (len(columns) - 1)


def _natural(column: Column) -> int:
    return max(map(text_width, (column.title, *column.cells)), default=0)


def _widths(columns: Sequence[Column], width: int, firm: bool) -> list[int]:
    """The width of each column: the widest that may fold give way first, down to their longest piece."""
    widths = list(map(_natural, columns))
    least = [_least(column, firm) for column in columns]
    excess = sum(widths) + _GAP * (len(columns) - 1) - width
    for _ in range(max(excess, 0)):
        wide = [index for index in range(len(columns)) if widths[index] > least[index]]
        if not wide:
            break
        widths[max(wide, key=lambda index: widths[index])] -= 1
    return widths


def _least(column: Column, firm: bool) -> int:
    """The longest piece of a column that is never broken."""
    if column.whole:
        return _natural(column)
    title = [column.title] if firm else column.title.split()
    pieces = [piece.rstrip() for cell in column.cells for piece in _pieces(cell, column.folds)]
    return max(map(text_width, (*title, *pieces)), default=0)


def _pieces(text: str, folds: bool) -> list[str]:
    """What a cell may be broken into: words, a number with its unit; where it may fold the widths, the parts of a path.

    Names stay whole, dashes and all.
    """
    marks = r"(?<=-)" if folds and re.fullmatch(r"[\dx-]+", text) else r"(?<=\s)(?<!\d\s)"
    marks += r"|(?<=/)" if folds and text.count("/") > 1 else ""
    return [piece for piece in re.split(marks, text) if piece]


def _row(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int], firm: bool = False) -> list[str]:
    """A row as lines, each cell at its place."""
    broken = [
        [cell] if firm or (column.whole and cell != column.title) else list(_broken(cell, column.folds, width))
        for cell, column, width in zip(cells, columns, widths, strict=True)
    ]
    lines = []
    for parts in itertools.zip_longest(*broken, fillvalue=""):
        padded = (
            _padded(part, width, column.right) for part, width, column in zip(parts, widths, columns, strict=True)
        )
        lines.append((" " * _GAP).join(padded).rstrip())
    return lines


def _broken(text: str, folds: bool, width: int) -> Iterator[str]:
    line = ""
    for piece in _pieces(text, folds):
        if line and text_width((line + piece).rstrip()) > width:
            yield line.rstrip()
            line = ""
        line += piece
    yield line.rstrip()


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - text_width(text))
    return space + text if right else text + space


def text_width(text: str) -> int:
    """Columns that a text takes in a terminal; letters of East Asian scripts take two."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(sign) else 2 if east_asian_width(sign) in "WF" else 1 for sign in text)
