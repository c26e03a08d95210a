"""How a file writes its table: delimiter, quotes, preamble, comments, line of names, row of units. From its content.

`find_dialect` looks at the first lines; `cells` then reads all of them, and refuses what does not fit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sizer.base.errors import DataError
from sizer.size_search.data.reading.numbers import unit_kind
from sizer.size_search.data.reading.rows import Record, is_comment, is_marker, kind_of_cell, records

_DELIMITERS = (",", "\t", ";", "|", "")
DELIMITER_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", "": "white space"}
_SEP = re.compile(r'"?sep=(.)"?[;,\t]*\s*', re.IGNORECASE)
_RULE_SIGNS = frozenset("-=+:| \t")
_COMMENTS = ("#", "%", "//")
_SAMPLE_ROWS = 500
_LOOKED_AT = 60
#: Lines above a table that may have as many cells as it.
_ABOVE = 30


@dataclass(frozen=True)
class Dialect:
    """How a file writes its table.

    A ``delimiter`` of "" is white space. ``names`` are the columns' (after ``row_names``, which are none), found in
    ``header_line``, None where the file has none. ``first_line`` is that of the first row. Lines that begin with
    ``comment`` are no rows. With ``trailing`` a row ends in a delimiter. ``units`` are those of a row under the header.
    """

    delimiter: str
    quote: str
    names: tuple[str, ...]
    header_line: int | None
    first_line: int
    comment: str = ""
    row_names: bool = False
    trailing: bool = False
    units: tuple[str, ...] | None = None
    remarks: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Cells of a row."""
        return len(self.names) + self.row_names + self.trailing

    def notation(self) -> dict[str, Any]:
        """How the file is written, for people: plain JSON."""
        return {
            "delimiter": DELIMITER_NAMES.get(self.delimiter, self.delimiter),
            "header_line": self.header_line,
            "first_line": self.first_line,
            "comment": self.comment,
            "row_names": self.row_names,
            "units": None if self.units is None else list(self.units),
        }


def find_dialect(lines: Sequence[str], name: str, expected: Sequence[str] = ()) -> Dialect:
    """How a table is written, from its first lines. ``expected`` are column names that the header should hold.

    Raises DataError where rows and header do not fit.
    """
    first, remarks = 1, list[str]()
    delimiters: tuple[str, ...] = _DELIMITERS
    if lines and (said := _SEP.fullmatch(lines[0].strip("\r\n"))):
        first, delimiters = 2, (said[1] if said[1] != " " else "",)
        remarks.append(f"line 1 of {name} says that cells are separated by {said[1]!r}")
    layouts = [layout for delimiter in delimiters if (layout := _layout(lines, delimiter, first, expected))]
    if not layouts:
        return _one_column(lines, first, name)
    best = max(layouts, key=lambda layout: layout.score)
    return _described(best, name, remarks)


class _Layout(NamedTuple):
    """A way to cut the lines into cells: rows from the header on, the lines above it, and how well that fits."""

    delimiter: str
    quote: str
    comment: str
    above: list[Record]
    header: Record | None
    body: list[Record]
    score: tuple[float, ...]
    commented: bool


def _layout(lines: Sequence[str], delimiter: str, first: int, expected: Sequence[str]) -> _Layout | None:
    quote = _quote(lines, delimiter)
    comment = _comment(lines, delimiter, quote, first)
    try:
        rows = list(records(lines, delimiter, quote, comment, first))
    except DataError:
        return None
    rows = [row for row in rows if not _is_rule("".join(row.cells))][:_SAMPLE_ROWS]
    if not rows:
        return None
    counts = Counter(len(row.cells) for row in rows[1:] or rows)
    width = max(counts, key=lambda count: (counts[count], count))
    if width < 2:
        return None
    start = _start(rows, width, expected)
    top, body, above = rows[start], rows[start + 1 :], rows[:start]
    header: Record | None = top
    commented = _commented_names(lines, comment, delimiter, quote, top, width)
    if commented is not None and not _is_header(top.cells, body):
        header, body = commented, rows[start:]
    elif len(top.cells) == width and not _is_header(top.cells, body) and not set(expected) & set(top.cells):
        header, body = None, rows[start:]
    fitting = sum(len(row.cells) == width for row in body) / max(1, len(body))
    named = header is None or len(header.cells) in (width, width - 1)
    knows = bool(expected) and header is not None and set(expected) <= set(header.cells)
    is_whole = 2 * (not above) + (header is None or len(header.cells) == width)
    clean = _cleanness(body, delimiter)
    score = (
        knows,
        named and fitting == 1.0,
        named * fitting,
        is_whole,
        clean,
        header is not None,
        delimiter != "",
        width,
    )
    return _Layout(delimiter, quote, comment, above, header, body, score, header is commented and header is not None)


def _is_rule(text: str) -> bool:
    """Whether a row is a line that is drawn: ``|----+----|``."""
    return ("--" in text or "==" in text or "-=" in text or "=-" in text) and _RULE_SIGNS.issuperset(text)


def _quote(lines: Sequence[str], delimiter: str) -> str:
    """The double quote, or the single one where whole cells stand in it and no cell in a double one."""
    text = "\n".join(lines[:_LOOKED_AT])
    mark = re.escape(delimiter) if delimiter else " "
    single = re.findall(rf"(?:^|{mark}) {{0,9}}'[^'\n]*' {{0,9}}(?={mark}|$)", text, re.MULTILINE)
    return "'" if '"' not in text and len(single) >= max(2, len(lines[:_LOOKED_AT]) - 1) else '"'


def _comment(lines: Sequence[str], delimiter: str, quote: str, first: int) -> str:
    """What comment lines begin with, "" where there are none.

    A line with as many cells as a row is one only if the first cells of the other rows are numbers or dates.
    """
    for comment in _COMMENTS:
        marked = [line for line in lines[first - 1 :] if is_comment(line, comment)]
        if not marked or len(marked) == sum(bool(line.strip()) for line in lines[first - 1 :]):
            continue
        try:
            others = list(records(lines, delimiter, quote, comment, first))
            like_rows = list(records(marked, delimiter, quote))
        except DataError:
            continue
        width = len(others[-1].cells)
        firsts = [kind_of_cell(row.cells[0]) for row in others[1:] if row.cells]
        is_first = is_comment(lines[first - 1], comment)
        if is_first or all(firsts) or all(len(row.cells) != width for row in like_rows):
            return comment
    return ""


def _commented_names(
    lines: Sequence[str], comment: str, delimiter: str, quote: str, header: Record, width: int
) -> Record | None:
    """The names in the last comment line above the table, as numpy's savetxt writes them; None where there are none."""
    if not comment:
        return None
    above = [(number, line) for number, line in enumerate(lines[: header.line - 1], 1) if is_comment(line, comment)]
    if not above:
        return None
    number, line = above[-1]
    cells = next(iter(records([line.lstrip().lstrip("#%/ ")], delimiter, quote)), Record(0, [])).cells
    is_names = len(cells) == width and all(cells) and all(kind_of_cell(cell) is None for cell in cells)
    return Record(number, cells) if is_names else None


def _start(rows: Sequence[Record], width: int, expected: Sequence[str]) -> int:
    """Where the table begins: lines above it have fewer cells, and a line of names, or one cell, comes between."""
    for position, row in enumerate(rows):
        if expected and set(expected) <= set(row.cells):
            return position
    full = next(position for position, row in enumerate(rows) if len(row.cells) == width)
    named = _first_names(rows, width, full)
    if named is not None:
        return named
    if full == 0:
        return 0
    is_titled = all(len(row.cells) == 1 or not any(row.cells[1:]) for row in rows[:full])
    if len(rows[full - 1].cells) == width - 1:
        if _is_header(rows[full - 1].cells, [Record(row.line, row.cells[1:]) for row in rows[full:]]):
            return full - 1
    elif _is_header(rows[full].cells, rows[full + 1 :]) and full + 1 < len(rows):
        return full
    return full if is_titled and width > 2 else 0


def _first_names(rows: Sequence[Record], width: int, full: int) -> int | None:
    """The first full row of texts, all different, over numbers or dates; None where a row above it may be data."""
    for position in range(full, min(full + _ABOVE, len(rows) - 1)):
        cells = rows[position].cells
        kinds = [kind_of_cell(cell) for cell in cells]
        if len(cells) == width and not any(kinds) and kinds.count("") <= 1 and len(set(cells)) == width:
            below = [row for row in rows[position + 1 :] if len(row.cells) == width]
            return position if _is_header(cells, below) else None
        if len(cells) == width and None not in kinds:
            return None
    return None


def _is_header(cells: Sequence[str], body: Sequence[Record]) -> bool:
    """Whether a row has names: texts over numbers, or texts that their own columns do not hold again."""
    if list(cells) == [str(number) for number in range(len(cells))]:
        return True
    told, against, again, texts = 0, 0, 0, 0
    for position, cell in enumerate(cells):
        below = [row.cells[position] for row in body[:_SAMPLE_ROWS] if len(row.cells) > position]
        kinds = Counter(kind for kind in map(kind_of_cell, below[:_LOOKED_AT]) if kind != "")
        usual = kinds.most_common(1)[0][0] if kinds else ""
        kind = kind_of_cell(cell)
        told += bool(cell and usual and kind in (None, "date") and kind != usual)
        against += kind not in (None, "") and kind == usual
        if kind is None:
            texts += 1
            again += cell in below
    if (told or texts) and not again and _are_years(cells):
        return True
    if told or against:
        return told > against or (told == against and told > 0 and not again)
    return texts > 0 and again <= texts / 2


def _are_years(cells: Sequence[str]) -> bool:
    """Whether the numbers among names are years in order."""
    numbers = [cell for cell in cells if kind_of_cell(cell) == "number"]
    are_years = all(len(cell) == 4 and cell.isdecimal() and 1500 <= int(cell) <= 2200 for cell in numbers)
    return bool(numbers) and are_years and sorted(set(numbers)) == numbers


def _cleanness(body: Sequence[Record], delimiter: str) -> float:
    """Share of cells that are one value, or text without another delimiter and without two numbers."""
    cells = [cell for row in body[:_LOOKED_AT] for cell in row.cells]
    others = [mark for mark in ",;\t|" if mark != delimiter]
    clean = 0
    for cell in cells:
        is_one = not any(mark in cell for mark in others) and sum(map(_is_number, cell.split())) < 2
        clean += kind_of_cell(cell) is not None or is_one
    return round(clean / max(1, len(cells)), 6)


def _is_number(cell: str) -> bool:
    return kind_of_cell(cell) == "number"


def _one_column(lines: Sequence[str], first: int, name: str) -> Dialect:
    """A file of one column, or none."""
    rows = list(records(lines, "\x1f", '"', "", first))
    if not rows:
        raise DataError(f"{name} has no lines; expected a table in text")
    if any(len(row.cells) != 1 for row in rows):
        raise DataError(f"{name} is no table: its lines have no common delimiter")
    is_headed = _is_header(rows[0].cells, rows[1:])
    names = (rows[0].cells[0],) if is_headed else ("column_1",)
    return Dialect("\x1f", '"', names, rows[0].line if is_headed else None, rows[0].line + is_headed)


def _described(layout: _Layout, name: str, remarks: list[str]) -> Dialect:
    """The dialect with its remarks."""
    header, body = layout.header, layout.body
    width = (
        max(Counter(len(row.cells) for row in body).items(), key=lambda item: (item[1], item[0]), default=(0, 0))[0]
        if body
        else 0
    )
    if header is None:
        names: tuple[str, ...] = tuple(f"column_{number}" for number in range(1, width + 1))
        remarks.append(f"{name} has no line of column names: they are {names[0]} to {names[-1]}")
    else:
        names = tuple(header.cells)
    dialect = Dialect(layout.delimiter, layout.quote, names, None if header is None else header.line, 0, layout.comment)
    if layout.above:
        last = (header or body[0]).line - 1
        remarks.append(
            f"{name}: the lines above the table are left out (up to line {last}: {_short(layout.above[0].cells)})"
        )
    if layout.comment:
        told = ", and the last of them has the column names" if layout.commented else ""
        remarks.append(f"{name}: lines that begin with {layout.comment} are comments{told}")
    if header is not None and body and len(names) == width - 1:
        dialect = _short_header(dialect, body, name, remarks)
    if header is not None and body:
        dialect, body = _without_units(dialect, body, name, remarks)
    first_line = body[0].line if body else (header.line + 1 if header else 1)
    return replace(dialect, first_line=first_line, remarks=tuple(remarks))


def _short(cells: Sequence[str], most: int = 40) -> str:
    text = " ".join(cell for cell in cells if cell)
    return repr(text if len(text) <= most else text[: most - 1] + "…")


def _short_header(dialect: Dialect, body: Sequence[Record], name: str, remarks: list[str]) -> Dialect:
    """A header one name short: a delimiter at the end of every row, or R's row names, which are all different."""
    rows = [row for row in body if len(row.cells) == len(dialect.names) + 1]
    if len(rows) < len(body):
        return dialect
    if not any(row.cells[-1] for row in rows):
        return replace(dialect, trailing=True)
    firsts = [row.cells[0] for row in rows]
    counts = firsts == [str(number) for number in range(1, len(firsts) + 1)]
    halves = all(cell.lstrip("+-").isdecimal() for row in rows for cell in row.cells)
    if len(set(firsts)) < len(firsts) or (halves and dialect.delimiter == "," and not counts):
        return dialect  # (rows and header differ: refused when they are read)
    remarks.append(
        f"{name}: the header is one name short, as R writes it: the first cell of a row is its name "
        f"({firsts[0][:20]!r} in line {rows[0].line}) and not used"
    )
    return replace(dialect, row_names=True)


def _without_units(dialect: Dialect, body: list[Record], name: str, remarks: list[str]) -> tuple[Dialect, list[Record]]:
    """The row of units under the header, if there is one, taken out."""
    first, rest = body[0], body[1:]
    if (
        not rest
        or len(first.cells) != dialect.width
        or any(kind_of_cell(cell) not in (None, "") for cell in first.cells)
    ):
        return dialect, body
    columns = list(zip(*(row.cells for row in rest if len(row.cells) == dialect.width), strict=False))
    over = [
        cell
        for cell, column in zip(first.cells, columns, strict=False)
        if cell and all(kind_of_cell(below) in ("number", "") for below in column) and any(map(kind_of_cell, column))
    ]
    told = [cell for cell in first.cells if cell]
    if (
        not over
        or sum(map(_is_unit, told)) < max(1, len(told) / 2)
        or any(is_marker(cell) for cell in over if not _is_unit(cell))
    ):
        return dialect, body
    units = tuple(first.cells[dialect.row_names :])
    listed = ", ".join(f"{column} {unit}" for column, unit in zip(dialect.names, units, strict=False) if unit)
    remarks.append(f"{name}: line {first.line} has the units ({listed[:120]})")
    return replace(dialect, units=units), rest


def _is_unit(cell: str) -> bool:
    if cell[0] + cell[-1] in ("[]", "()", "{}") or unit_kind(cell) is not None:
        return True
    return len(cell) <= 12 and all(not part or unit_kind(part) for part in re.split(r"[/*·^\d\s-]+", cell))
