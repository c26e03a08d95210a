"""The rows of a power log: their times as written, the machine whose rows they are, and the zone that the log states.

A row whose time cannot be read is refused by its line, but for the last ones (a line cut short, a sum below the table).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sizer.base.errors import MeterError, UsageError, listed
from sizer.base.units import counted
from sizer.meters.log_columns import NO_POWER_DRAWN, POWER_WORDS
from sizer.meters.log_roles import Roles
from sizer.meters.log_table import Row, Table
from sizer.meters.power_units import POWER, WATT, Unit, unit_named, units_in
from sizer.meters.timestamps import Stamp, read_stamp

_ABBREVIATED = re.compile(r"\b(CES?T|[ECMPA][SD]T|BST|IST|JST|AE[SD]T|MSK|W?EE?S?T|SGT|HKT|KST)\b")
_OFFSET = r"\s*[+−-]\s*\d{1,2}(?::?\d{2})?(?!\d|\s*min)"  # "UTC - 5 min mean" is in UTC
_ZONE_IN_NAME = re.compile(rf"(?:UTC|GMT){_OFFSET}|\b(?:UTC|GMT)\b|_(?:utc|gmt)\b", re.IGNORECASE)
_ZONE_ABOVE = re.compile(rf"time ?zone\W+?((?:UTC|GMT)?{_OFFSET}|[A-Za-z]+/[A-Za-z_/]+|UTC|GMT)", re.IGNORECASE)


class Entry(NamedTuple):
    """A row of the chosen machine: its time as written, its cell of power, and the unit in the row's unit column."""

    row: Row
    stamp: Stamp
    cell: str
    unit: str | None


def read_rows(
    path: Path, table: Table, found: Roles, named: str | None, warnings: list[str]
) -> tuple[list[Entry], str | None]:
    """The rows of one machine, the ``named`` one or the only one, and its name. Appends to ``warnings``.

    A last stretch without times is left out. Raises MeterError for another row without a time, UsageError for several
    machines.
    """
    rows = list(table.rows)
    needed = max(*found.time, found.power, found.node or 0, 0)
    read: list[tuple[Row, Stamp]] = []
    problem: tuple[Row, str] | None = None
    for row in rows:
        try:
            if len(row.cells) <= needed:
                raise ValueError(f"it has {counted(len(row.cells), 'cell')}")  # noqa: TRY301
            stamp = read_stamp(" ".join(row.cells[column] for column in found.time))
        except ValueError as error:
            problem = problem or (row, str(error))
            continue
        if problem is not None:
            raise no_sample(path, *problem)
        if found.zone is not None and stamp.zone is None:
            stamp = stamp._replace(zone=_row_zone(table, found.zone, row))
        read.append((row, stamp))
    if problem is not None:
        if not read:
            raise no_sample(path, *problem)
        lost = len(rows) - len(read)
        one = f"the last line of {path} is incomplete and was left out"
        warnings.append(one if lost == 1 else f"the last {lost} lines of {path} hold no time and were left out")
    power_rows = [one for one in read if _is_of_power(found, one[0])]
    if not power_rows:
        others = listed(dict.fromkeys(filter(None, (_unit_cell(found, row) for row, _ in read))))
        raise MeterError(f"the power log {path} has no sample with a unit of power (its units: {others}); log watts")
    node = _chosen_node(path, found, [row for row, _ in power_rows], named)
    entries = [
        Entry(row, stamp, row.cells[found.power], _unit_cell(found, row))
        for row, stamp in power_rows
        if node is None or found.node is None or row.cells[found.node] == node
    ]
    return _scaled_times(path, table, found, entries), node


def no_sample(path: Path, row: Row, problem: str) -> MeterError:
    """The refusal of a row."""
    shown = row.line.strip()[:60]
    return MeterError(
        f"line {row.number} of {path} is no sample of time and watts: {shown!r} ({problem[:200]}); correct or remove it"
    )


def _unit_cell(found: Roles, row: Row) -> str | None:
    column = found.unit_column
    return row.cells[column] or None if column is not None and column < len(row.cells) else None


def _is_of_power(found: Roles, row: Row) -> bool:
    """Whether a row's unit is one of power, or not said. Other sensors share long tables."""
    text = _unit_cell(found, row)
    unit = None if text is None else unit_named(text)
    return text is None or (unit is not None and unit.kind == POWER)


def _chosen_node(path: Path, found: Roles, rows: Sequence[Row], named: str | None) -> str | None:
    """The machine whose rows are read: the one named, the only one, or the only one whose name says power."""
    if named is not None or found.node is None:
        return named
    names = list(dict.fromkeys(row.cells[found.node] for row in rows))
    if len(names) == 1:
        return names[0]
    powers = [name for name in names if names_power(name)]
    if len(powers) == 1 and found.unit_column is None:
        return powers[0]
    shown = listed(powers if len(powers) > 1 else names)
    raise UsageError(f"{path} has samples of several nodes ({shown}); name one with node")


def _row_zone(table: Table, column: int, row: Row) -> str | None:
    """The offset from UTC in a row's own column: ``+01:00``, hours, or minutes where the name or the size says so."""
    if column >= len(row.cells):
        return None
    text = row.cells[column]
    if not re.fullmatch(r"[+-]?\d+([.,]\d+)?", text):
        return text or None
    given = float(text.replace(",", "."))
    in_minutes = "min" in table.header[column].lower() or abs(given) > 14
    minutes = round(given if in_minutes else 60 * given)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def zone_written(table: Table, found: Roles) -> str | None:
    """A time zone that the time column's name, or a line above the table, states for all times."""
    for column in reversed(found.time) if table.header else ():
        if matched := _ZONE_IN_NAME.search(table.header[column]):
            return _plain_offset(matched[0].strip("_").upper())
        if abbreviated := _ABBREVIATED.search(table.header[column]):
            return abbreviated[0]
    above = next((zone for line in table.above if (zone := _ZONE_ABOVE.search(line))), None)
    return None if above is None else _plain_offset(above[1])


def _plain_offset(text: str) -> str:
    """An offset without the spaces and the typographic minus of people's headings (``UTC − 5``)."""
    return re.sub(r"\s", "", text).replace("−", "-")


_DIVISORS = {"ms": 1e3, "msec": 1e3, "millis": 1e3, "milliseconds": 1e3, "us": 1e6, "ns": 1e9}


def _scaled_times(path: Path, table: Table, found: Roles, entries: list[Entry]) -> list[Entry]:
    """Numbers too small to tell their unit, in the one that the column's name states."""
    name = table.header[found.time[0]] if table.header else ""
    divisor = next((_DIVISORS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in _DIVISORS), 1.0)
    numbers = [entry.stamp.epoch_s for entry in entries if entry.stamp.epoch_s is not None]
    if not numbers:
        return entries
    if (
        len(numbers) > 1
        and all(20_000 < one < 80_000 for one in numbers)
        and max(numbers) - min(numbers) < 10
        and any(one % 1 for one in numbers)
    ):
        raise MeterError(f"the times of {path} ({numbers[0]:.10g}) look like a spreadsheet's days; write them as dates")
    written = [
        float(entry.row.cells[found.time[0]].replace(",", ".")) for entry in entries if entry.stamp.epoch_s is not None
    ]
    if divisor == 1.0 or max(written) > 1e11 or any(entry.stamp.epoch_s is None for entry in entries):
        return entries
    if max(numbers) >= 1e9:
        raise MeterError(
            f"column {name!r} of {path} holds {numbers[0]:.10g}, the size of seconds; rename or convert it"
        )
    return [
        entry._replace(stamp=entry.stamp._replace(epoch_s=entry.stamp.epoch_s / divisor))
        for entry in entries
        if entry.stamp.epoch_s is not None
    ]


_NO_POWER_NAMES = frozenset(
    ("energy", "energie", "kwh", "wh", "voltage", "current", "spannung", "strom", "temperature", "frequency")
)


def _words(name: str) -> set[str]:
    return set(re.split(r"[\W_]+", name.lower()))


def names_power(name: str) -> bool:
    """Whether an entity's or a sensor's name says that it is one of power, no limit and no energy."""
    words = _words(name)
    if any(unit.kind != POWER for unit in units_in(name)) or words & NO_POWER_DRAWN:
        return False
    return bool(words & (POWER_WORDS | {"consumption"})) or any(unit.kind == POWER for unit in units_in(name))


def entity_unit(what: str, name: str) -> Unit | None:
    """The unit that an entity's name tells: its own, or W for power. Raises MeterError for one of another quantity."""
    units = units_in(name)
    words = _words(name)
    if units:
        return units[0]
    if words & _NO_POWER_NAMES and not words & POWER_WORDS:
        raise MeterError(f"{what} is named after another quantity, and power is expected; choose another with node")
    return WATT if words & POWER_WORDS else None
