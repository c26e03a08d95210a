"""Rows of cells from lines of text, and what one cell is by its look.

Python's `csv` cuts the lines: it says in which one a row begins, and neither pads nor cuts a row.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sizer.base.errors import DataError
from sizer.size_search.data.reading.dates import read_clock, read_date
from sizer.size_search.data.reading.numbers import TakenApart, take_apart

#: What people write for a missing value, beside an empty cell. Words may also be classes of their own.
_MARKS_TEXT = (
    "? - -- --- . .. * … nan NaN NAN -nan -NaN <NA> <na> NaT #N/A #NA #NV #N/A! #DIV/0! #VALUE! #REF! "
    "#NUM! #NAME? #NULL! #WERT! \\N 1.#IND -1.#IND 1.#QNAN -1.#QNAN 0000-00-00 (null) [null] <null>"
)
MARKS = frozenset(_MARKS_TEXT.split()) | {"#N/A N/A", "0000-00-00 00:00:00"}
_WORDS_TEXT = "NA N/A n/a na N.A. n.a. NULL Null null None NONE none nil Nil NIL k.A. missing Missing"
WORDS = frozenset(_WORDS_TEXT.split())
_ERRORS = tuple(sorted(mark for mark in MARKS if mark.startswith("#")))


class Record(NamedTuple):
    """A row of cells, and the number of the line that it begins in."""

    line: int
    cells: list[str]


class _Lines:
    """The lines that may belong to the table, without blank ones and comments; ``number`` is that of the last one."""

    def __init__(self, lines: Iterable[str], delimiter: str, quote: str, comment: str, first_line: int = 1) -> None:
        self._lines, self._delimiter, self._quote, self._comment = lines, delimiter, quote, comment
        self._first_line = first_line
        self.number = 0
        self.began = 0
        self.text: list[str] = []

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.number += 1
            is_inside = bool(self.text)
            if not is_inside and (self.number < self._first_line or self._is_left_out(line)):
                continue
            if not is_inside:
                self.began = self.number
            self.text.append(line)
            yield line if self._delimiter else line.strip().replace("\t", " ")

    def _is_left_out(self, line: str) -> bool:
        return not line.strip() or (self._comment != "" and is_comment(line, self._comment))


def is_comment(line: str, comment: str) -> bool:
    """Whether a line begins as comments do, and not with an error of a spreadsheet."""
    text = line.lstrip()
    return text.startswith(comment) and not text.startswith(_ERRORS)


def records(
    lines: Iterable[str], delimiter: str, quote: str, comment: str = "", first_line: int = 1
) -> Iterator[Record]:
    """The rows of cells, stripped of white space. Raises DataError for a quote that swallows lines."""
    source = _Lines(lines, delimiter, quote, comment, first_line)
    reader = csv.reader(source, delimiter=delimiter or " ", quotechar=quote, skipinitialspace=True)
    try:
        for cells in reader:
            if len(source.text) > 1:
                _check_quotes(source, cells, delimiter, quote)
            source.text.clear()
            yield Record(source.began, [cell.strip() for cell in cells])
    except csv.Error as error:
        raise DataError(f"line {source.began}: {error}; is a quote never closed?") from None


def _check_quotes(source: _Lines, cells: Sequence[str], delimiter: str, quote: str) -> None:
    """Raise where a cell of several lines holds rows, or is never closed."""
    is_open = "".join(source.text).count(quote) % 2 == 1
    holds_rows = any(
        delimiter and part.count(delimiter) >= max(1, len(cells) - 1) for cell in cells for part in cell.split("\n")[1:]
    )
    if is_open or holds_rows:
        raise DataError(f"line {source.began}: a quote ({quote}) is opened there and takes in the next lines; close it")


def is_marker(cell: str) -> bool:
    """Whether a cell says that there is no value."""
    return not cell or cell in MARKS or cell in WORDS


def number_in(cell: str) -> TakenApart | None:
    """What number a cell holds; None where it is none, and for a day or a time: 4 March 2021 is no 4 with a unit."""
    taken = take_apart(cell)
    is_time = taken is not None and taken.affix and (read_date(cell) or read_clock(cell) is not None)
    return None if is_time else taken


def kind_of_cell(cell: str) -> str | None:
    """What a cell holds by its look: number, date or clock; "" for no value, None for text."""
    if is_marker(cell):
        return ""
    if number_in(cell) is not None:
        return "number"
    if read_date(cell) is not None:
        return "date"
    return None if read_clock(cell) is None else "clock"
