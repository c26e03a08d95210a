"""The table in a power log's text: its delimiter, header, row of units and rows, with what stands above left out.

Found by content: the delimiter is the one that makes the most lines rows of a time and a number. Three kinds of text
that are no table are made one: JSON objects (Tasmota, Home Assistant's interface), the blocks that ``ipmitool`` prints,
and its sensor lines below lines of the date.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from sizer.base.units import counted
from sizer.meters.power_units import MISSING, split_cell, unit_named
from sizer.meters.timestamps import is_bare_clock, is_clock, is_date, read_stamp

#: Lines that the delimiter is decided from.
_LOOKED_AT = 400
Line = tuple[int, str]
_ROW_OF_FORMATS = re.compile(r"[yYmMdDhHsS:/. _-]+|iso ?8601|-+|[Ii]dx")


class Row(NamedTuple):
    """A row: its number in the file, its text, its cells."""

    number: int
    line: str
    cells: tuple[str, ...]


class Table(NamedTuple):
    """A log's rows; ``header`` and ``units`` (a row of units below it) are empty where it has none.

    ``above`` are the lines over the header, comments among them; ``form`` is how the text was taken apart.
    """

    header: tuple[str, ...]
    units: tuple[str, ...]
    rows: tuple[Row, ...]
    above: tuple[str, ...]
    delimiter: str
    form: str


def is_time(cell: str) -> bool:
    """Whether a cell is a date with a clock time or an epoch number."""
    with suppress(ValueError):
        read_stamp(cell)
        return True
    return False


def is_moment(cell: str) -> bool:
    """Whether a cell is a date with a clock time, no mere number."""
    with suppress(ValueError):
        return read_stamp(cell).epoch_s is None
    return False


def _is_number(cell: str) -> bool:
    return split_cell(cell) is not None and not is_clock(cell)


def _has_moment(cells: Sequence[str]) -> bool:
    return any(map(is_moment, cells)) or (any(map(is_date, cells)) and any(map(_is_some_clock, cells)))


def _is_some_clock(cell: str) -> bool:
    return is_clock(cell) or is_bare_clock(cell)


def _is_sample(cells: Sequence[str]) -> bool:
    """Whether a row has a time, and a number beside it."""
    if any(map(is_date, cells)) and any(map(_is_some_clock, cells)):
        return any(_is_number(cell) for cell in cells if not is_date(cell))
    if any(map(is_moment, cells)):
        return any(_is_number(cell) for cell in cells if not is_moment(cell))
    return sum(map(_is_number, cells)) > 1 and any(map(is_time, cells))


def read_table(text: str) -> Table | None:
    """The table in a log's text; None where no line has a time and a number. Raises ValueError for one that is cut up.

    ValueError names the line, and what is expected.
    """
    lines = [(number, line) for number, line in enumerate(text.replace("\0", "").splitlines(), start=1) if line.strip()]
    found = _json_objects(text, lines) or _printed_blocks(lines)
    if found is not None:
        return found
    above = [line for _, line in lines if line.lstrip().startswith("#")]
    lines = [(number, line) for number, line in lines if not line.lstrip().startswith("#")]
    counts = {sign: _count_samples(lines[:_LOOKED_AT], sign) for sign in (";", "\t", ",", "|", " ")}
    delimiter = max(counts, key=lambda sign: counts[sign])
    if not counts[delimiter]:
        return None
    return _table([Row(number, line, cells(line, delimiter)) for number, line in lines], above, delimiter)


def cells(line: str, delimiter: str) -> tuple[str, ...]:
    """The cells of a line, quotes and the spaces around them taken off."""
    if delimiter == " ":
        return tuple(line.split())
    try:
        return tuple(
            cell.strip()
            for cell in next(csv.reader([line.strip("\r\n")], delimiter=delimiter, skipinitialspace=True), [])
        )
    except csv.Error:
        return tuple(cell.strip() for cell in line.split(delimiter))


def _count_samples(lines: Sequence[Line], delimiter: str) -> int:
    widths = Counter(len(found) for _, line in lines if _is_sample(found := cells(line, delimiter)))
    return max(widths.values(), default=0)


def _table(rows: list[Row], above: list[str], delimiter: str) -> Table:
    samples = [row for row in rows[:_LOOKED_AT] if _is_sample(row.cells)]
    if 2 * sum(_has_moment(row.cells) for row in samples) >= len(samples):
        samples = [row for row in samples if _has_moment(row.cells)]
    width = Counter(len(row.cells) for row in samples).most_common(1)[0][0]
    begin = next(index for index, row in enumerate(rows) if row in samples[:1] or _starts(row, samples, width))
    header, units = _header(rows, begin, width)
    body = [row for row in rows[begin:] if row.cells != header]
    kept = tuple(_fitted(row, max(width, len(header)), bool(header)) for row in body)
    over = [*above, *(row.line for row in rows[: begin - bool(header) - bool(units)])]
    if not header:
        header, units = _commented_header(above, width, delimiter)
        over = [line for line in over if tuple(cells(line.lstrip("# \t"), delimiter)) not in (header, units)]
    return Table(header, units, kept, tuple(over), delimiter, {" ": "spaces", "\t": "tabs"}.get(delimiter, delimiter))


def _starts(row: Row, samples: Sequence[Row], width: int) -> bool:
    """Whether a row is of the table though its power is missing: it has as many cells, and a time where others do."""
    if len(row.cells) != width:
        return False
    if _has_moment(samples[0].cells):
        return _has_moment(row.cells)
    time = next(at for at, cell in enumerate(samples[0].cells) if is_time(cell))
    return time < width and is_time(row.cells[time])


def _header(rows: Sequence[Row], begin: int, width: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(names, units), both empty where there are none. The names stand right above the rows or a row of units."""
    units: tuple[str, ...] = ()
    at = begin - 1
    if at > 0 and len(rows[at].cells) > 1 and _is_row_of_units(rows[at].cells):
        units, at = rows[at].cells, at - 1
    if at < 0 or not _is_header(rows[at].cells, width):
        return (), ()
    names = rows[at].cells
    while len(names) > width and not names[-1]:
        names = names[:-1]
    wide = rows[begin].cells
    extra = len(wide) - len(names)
    if extra == 1 and all(row.cells[:1] == (str(number),) for number, row in enumerate(rows[begin:], start=1)):
        return ("", *names), units  # R's write.table: rows are numbered, their column has no name
    if extra and not (extra == 1 and not any(row.cells[-1] for row in rows[begin:] if len(row.cells) == width)):
        raise ValueError(
            f"line {rows[begin].number} has {len(wide)} cells ({rows[begin].line.strip()[:60]!r}), the header "
            f"{len(names)} ({', '.join(names)[:80]}): decimal commas between commas, or a name is missing; quote the "
            "numbers or write semicolons"
        )
    return names, units


def _commented_header(above: Sequence[str], width: int, delimiter: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(names, units) in the last comment lines, where they name as many columns and a time among them."""
    rows = [found for line in above[-2:] if len(found := cells(line.lstrip("# \t"), delimiter)) == width]
    units = rows.pop() if len(rows) > 1 and _is_row_of_units(rows[-1]) else ()
    if rows and any(re.match(r"(?i)time|date|epoch|unix|zeit|datum", name) for name in rows[-1]):
        return rows[-1], units
    return (), ()


def _is_header(names: Sequence[str], width: int) -> bool:
    return len(names) > 1 and abs(len(names) - width) < 4 and not any(is_moment(name) for name in names)


def _is_row_of_units(row: Sequence[str]) -> bool:
    filled = [cell for cell in row if cell]
    known = [unit_named(cell) is not None for cell in filled]
    return any(known) and all(
        unit or _ROW_OF_FORMATS.fullmatch(cell) is not None for unit, cell in zip(known, filled, strict=True)
    )


def _fitted(row: Row, width: int, has_header: bool) -> Row:
    """A row with empty cells beyond the table's width taken off. Raises ValueError for one with other cells there."""
    if len(row.cells) <= width:
        return row
    if any(row.cells[width:]):
        raise ValueError(
            f"line {row.number} has {counted(len(row.cells), 'cell')}, {'the header' if has_header else 'most lines'} "
            f"{width}: {row.line.strip()[:60]!r}; correct or remove it"
        )
    return row._replace(cells=row.cells[:width])


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """(dotted name, text) of each value in a JSON object."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif not isinstance(value, list):
        yield name, "" if value is None else str(value)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _json_objects(text: str, lines: Sequence[Line]) -> Table | None:
    """A table of JSON objects: one in each line, a topic before it perhaps, or all in one list."""
    load: Callable[[str], Any] = lambda source: json.loads(source, parse_float=str, parse_int=str)  # noqa: E731
    found: list[tuple[int, str, dict[str, str]]] = []
    if text.lstrip().startswith("["):
        with suppress(ValueError, RecursionError):
            found = [(1 + index, str(one)[:60], dict(_flat(one))) for index, one in enumerate(_objects(load(text)))]
    if not found and sum("{" in line and line.rstrip().endswith("}") for _, line in lines) * 2 > len(lines):
        for number, line in lines:
            with suppress(ValueError, RecursionError):
                before, brace, rest = line.partition("{")
                one = dict(_flat(load(brace + rest)))
                stamp = before.strip().rstrip("=,;").strip()
                found.append((number, line, {"time": stamp, **one} if is_moment(stamp) else one))
    names = tuple(dict.fromkeys(name for _, _, one in found for name in one))
    if not names:
        return None
    rows = tuple(Row(number, line, tuple(one.get(name, "") for name in names)) for number, line, one in found)
    return Table(names, (), rows, (), ",", "JSON objects")


_DCMI = re.compile(r"\s*(Instantaneous power reading|IPMI timestamp)\s*:\s*(.*?)\s*")


def _printed_blocks(lines: Sequence[Line]) -> Table | None:
    """A table of what ``ipmitool`` printed: blocks of ``dcmi power reading``, or sensor lines below a date."""
    if not any("|" in line or _DCMI.fullmatch(line) for _, line in lines[:_LOOKED_AT]):
        return None
    rows: list[Row] = []
    dated: str | None = None
    reading: tuple[int, str, str] | None = None
    for number, line in lines:
        text = line.strip()
        matched = _DCMI.fullmatch(line)
        if is_time(text):
            dated = text
        elif matched is not None and matched[1].startswith("Inst"):
            reading = number, line, matched[2]
            if dated is not None:
                rows.append(Row(number, line, (dated, "", matched[2], "")))
        elif matched is not None and reading is not None and dated is None:
            rows.append(Row(*reading[:2], (matched[2], "", reading[2], "")))
            reading = None
        elif dated is not None and "|" in text and not is_time(text.partition("|")[0].strip()):
            name, value, *unit = (cell.strip() for cell in text.split("|"))
            is_unit = bool(unit) and unit_named(unit[0]) is not None
            rows.append(Row(number, line, (dated, name, value, unit[0] if is_unit else "")))
    if not rows:
        return None
    return Table(("time", "sensor", "reading", "unit"), (), tuple(rows), (), ",", "what ipmitool printed")


def is_missing(cell: str) -> bool:
    """Whether a cell says that there is no sample."""
    return cell.strip("[]<>").strip().lower() in MISSING
