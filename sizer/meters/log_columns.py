"""Which columns of a power log hold the time, the power and its unit, and the machine: by what they say and hold. Pure.

A choice that two columns claim alike is refused with their names, as is one that a column of another quantity would be
(an energy counter, apparent power, a limit).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sizer.base.errors import MeterError, UsageError
from sizer.meters.log_table import Table, is_missing, is_moment, is_time
from sizer.meters.power_units import (
    APPARENT,
    ENERGY,
    OTHER,
    POWER,
    REACTIVE,
    WATT,
    Unit,
    split_cell,
    unit_named,
    units_in,
)
from sizer.meters.timestamps import is_bare_clock, is_clock, is_date

#: Rows that roles are decided from.
_LOOKED_AT = 400
_TIME_NAMES = (
    *("timestamp", "datetime", "date_time", "unix", "unix_time", "unix_s", "epoch", "epoch_s", "time", "time_s"),
    *("ts", "timestamp_ms", "time_ms", "unix_ms", "epoch_ms", "timestamp_us", "unix_us", "zeit", "zeitstempel"),
    *("last_changed", "last_updated", "date", "t"),
)
_CLOCK_NAMES = ("time", "clock", "zeit", "uhrzeit", "hora", "heure", "time_utc")
_NODE_NAMES = (
    *("node", "host", "hostname", "channel", "entity_id", "sensor", "topic", "device", "outlet", "socket", "phase"),
    *("uuid", "gpu_uuid", "pci_bus_id", "index", "gpu", "id"),
)
#: Names that may as well number the rows: of a machine only where their values repeat.
_NUMBERING = ("index", "gpu", "id")
POWER_WORDS = frozenset(
    (
        "power",
        "pwr",
        "apower",
        "watt",
        "watts",
        "wattage",
        "leistung",
        "wirkleistung",
        "puissance",
        "potencia",
        "potenza",
        "vermogen",
        "effekt",
    )
)
NO_POWER_DRAWN = frozenset(
    (
        "limit",
        "cap",
        "max",
        "maximum",
        "min",
        "minimum",
        "peak",
        "default",
        "rated",
        "nominal",
        "setpoint",
        "threshold",
        "factor",
        "faktor",
        "management",
        "state",
        "status",
        "reactive",
        "blind",
        "blindleistung",
        "apparent",
        "scheinleistung",
        "schein",
        "returned",
        "export",
        "exported",
        "budget",
    )
)
_APPARENT_WORDS = frozenset(("apparent", "apparentpower", "scheinleistung", "aprt_power"))
_TOTAL_WORDS = frozenset(("total", "sum", "gesamt", "summe", "overall"))
_PHASE_WORDS = frozenset(("a", "b", "c", "l1", "l2", "l3", "r", "s", "t", "phase", "ph1", "ph2", "ph3"))
_MEAN_WORDS = frozenset(("avg", "average", "mean", "mittel", "mittelwert"))
#: Names of formats that fix the unit: Shelly's (Gen2 API, ``apower`` and ``act_power``), Tasmota's ENERGY, Gen1 meters.
_FORMAT_WATTS = re.compile(r"(?:.*_)?(?:apower|act_power|energy_power)|meters_\d+_power")
_VALUE_NAMES = ("state", "value", "reading", "wert")


class Roles(NamedTuple):
    """Column numbers: ``time`` one, or date and clock; ``zone`` the offset from UTC of each row, or its time zone.

    ``unit`` is what the column's name (or format) states, None where only cells can say or ``unit_problem`` says why.
    """

    time: tuple[int, ...]
    power: int
    unit: Unit | None
    unit_problem: str | None
    unit_column: int | None = None
    node: int | None = None
    zone: int | None = None


class _Column(NamedTuple):
    """A column's number, name, name in small letters and underscores, its words, and the cells that are looked at."""

    number: int
    name: str
    plain: str
    words: frozenset[str]
    cells: tuple[str, ...]

    def mostly(self, test: Callable[[str], object]) -> bool:
        """Whether nine of ten cells that are not missing pass a test."""
        filled = [cell for cell in self.cells if not is_missing(cell)]
        return bool(filled) and 10 * sum(map(bool, map(test, filled))) >= 9 * len(filled)

    def is_number(self) -> bool:
        """Whether half of the cells that are not missing, or more, are numbers."""
        filled = [cell for cell in self.cells if not is_missing(cell)]
        return 2 * sum(split_cell(cell) is not None for cell in filled) >= len(filled) > 0


def columns_of(table: Table) -> list[_Column]:
    """The table's columns, named by their place where it has no header."""
    width = max((len(row.cells) for row in table.rows), default=0)
    width = max(width, len(table.header))
    looked_at = table.rows[:_LOOKED_AT]
    found = []
    for number in range(width):
        name = table.header[number] if number < len(table.header) else f"column {number + 1}"
        split = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", name)
        plain = re.sub(r"[^\w%]+", "_", split.lower()).strip("_")
        held = tuple(row.cells[number] for row in looked_at if number < len(row.cells))
        found.append(_Column(number, name, plain, frozenset(plain.split("_")), held))
    return found


def roles(path: object, table: Table, time_column: str | None, watts_column: str | None) -> Roles:
    """The roles of a table's columns.

    Raises MeterError where they are not clear, UsageError for a named column that does not exist.
    """
    columns = columns_of(table)
    if not table.header and (time_column or watts_column):
        raise MeterError(f"{path} has no header and {len(columns)} columns; expected time, watts or time, node, watts")
    time = _time(path, table, columns, time_column)
    unit_column = next((one.number for one in columns if one.number not in time and _is_unit_column(one)), None)
    rest = [one for one in columns if one.number not in time and one.number != unit_column]
    zone = next((one.number for one in rest if _is_zone_column(one)), None)
    rest = [one for one in rest if one.number != zone]
    node = _node(rest)
    if watts_column is not None:
        power = _named(path, table.header, watts_column, "watts_column")
    elif not table.header:
        power = _unnamed_power(path, columns, rest, unit_column)
        if unit_column is None and node is None and len(columns) == 3 and len(rest) == 2:
            node = next(one.number for one in rest if one.number != power)
    else:
        power = _power(path, table, rest, unit_column)
    unit, problem = _unit(table, columns[power], unit_column, watts_column is not None)
    if unit_column is not None and node is None and unit_column == power + 1 and power - 1 not in (*time, -1):
        node = power - 1
    return Roles(time, power, unit, problem, unit_column, None if node == power else node, zone)


def _named(path: object, header: Sequence[str], name: str, option: str) -> int:
    if name not in header:
        raise UsageError(f"{option} is {name!r}, but the columns of {path} are {', '.join(header)}")
    if header.count(name) > 1:
        raise UsageError(f"{option} is {name!r}, and {header.count(name)} columns of {path} are called so; rename one")
    return header.index(name)


def _not_clear(path: object, columns: Iterable[_Column], option: str) -> MeterError:
    names = ", ".join(one.name for one in columns)
    return MeterError(f"which column of {path} is which is not clear ({names}); name one with {option}")


def _time(path: object, table: Table, columns: Sequence[_Column], name: str | None) -> tuple[int, ...]:
    """The column of times, or those of dates and clock times."""
    clocks = [one for one in columns if one.mostly(is_clock) and not one.mostly(is_date)]
    clocks = clocks or [one for one in columns if one.mostly(is_bare_clock) and one.plain in _CLOCK_NAMES]
    if name is not None:
        named = columns[_named(path, table.header, name, "time_column")]
        alone = not named.mostly(is_date) or named.mostly(is_time) or len(clocks) != 1
        return (named.number,) if alone else (named.number, clocks[0].number)
    moments = _best_times([one for one in columns if one.mostly(is_moment)])
    if len(moments) == 1:
        return (moments[0].number,)
    if moments:
        raise _not_clear(path, moments, "time_column")
    dates = [one for one in columns if one.mostly(is_date)]
    if len(dates) == 1 and len(clocks) == 1:
        return dates[0].number, clocks[0].number
    if not table.header:
        if columns[0].mostly(is_time):
            return (0,)
    else:
        numeric = [one for one in columns if one.plain in _TIME_NAMES or _without_units(one) in _TIME_NAMES]
        numeric = [one for one in numeric if one.mostly(is_time) or not dates]
        if numeric:
            return (min(numeric, key=lambda one: _rank(one.plain)).number,)
    raise _not_clear(path, columns, "time_column")


def _without_units(column: _Column) -> str:
    return re.sub(r"_(s|ms|us|ns|utc|gmt|seconds)$", "", column.plain)


def _rank(plain: str) -> int:
    return _TIME_NAMES.index(plain) if plain in _TIME_NAMES else len(_TIME_NAMES)


def _best_times(moments: list[_Column]) -> list[_Column]:
    """Of several columns of times the one in UTC, the one called so; else those that move and hold different times."""
    moving = [one for one in moments if len(set(one.cells)) > 1] or moments
    in_utc = [one for one in moving if one.words & {"utc", "gmt"}]
    called = [one for one in moving if one.plain in _TIME_NAMES]
    changed = [one for one in called if one.plain == "last_changed"]
    for some in (in_utc, called, changed):
        if len(some) == 1:
            return some
    moments = moving
    by_cells = {one.cells: one for one in reversed(moments)}
    return list(reversed(by_cells.values()))


def _is_unit_column(column: _Column) -> bool:
    return column.mostly(unit_named) and not column.is_number()


def _is_zone_column(column: _Column) -> bool:
    said = bool(column.words & {"offset", "utcoffset", "timezone", "tz"}) or {"time", "zone"} <= column.words
    return said and not column.words & {"power", "watts"}


def _node(columns: Sequence[_Column]) -> int | None:
    for name in _NODE_NAMES:
        for one in columns:
            numbering = name in _NUMBERING and 2 * len(set(one.cells)) > len(one.cells)
            if one.plain == name and not numbering:
                return one.number
    return None


def _unnamed_power(path: object, columns: Sequence[_Column], rest: Sequence[_Column], unit_column: int | None) -> int:
    """The power in a table without a header: the one whose cells say a unit of power, else the last of two or three.

    Three columns are time, node, watts as in the published files; a node that is a number may be the whole part of a
    decimal comma.
    """
    if unit_column is not None and unit_column > 0:
        return unit_column - 1
    by_unit = [one for one in rest if POWER in _cell_kinds(one)]
    if len(by_unit) == 1 and not _is_cut_number(rest, by_unit[0]):
        return by_unit[0].number
    if len(rest) in (1, 2) and not by_unit:
        if len(rest) == 2 and not (rest[-1].is_number() and not rest[0].is_number()):
            raise MeterError(
                f"{path} has no header, and {rest[0].cells[0]!r}, {rest[-1].cells[0]!r} in its first row are not "
                "clearly a node and watts (a decimal comma between commas?); write a header, or quote the numbers"
            )
        return rest[-1].number
    raise MeterError(f"{path} has no header and {len(columns)} columns; expected time, watts or time, node, watts")


def _is_cut_number(rest: Sequence[_Column], power: _Column) -> bool:
    """Whether a power may be what stands behind a decimal comma: whole numbers on both sides of it."""
    before = next((one for one in rest if one.number == power.number - 1), None)
    whole = [re.match(r"\d+(?![\d.,])", cell) is not None for cell in power.cells if cell]
    return before is not None and before.mostly(str.isdigit) and all(whole)


def _cell_kinds(column: _Column) -> set[str]:
    found = [cell.unit for text in column.cells if (cell := split_cell(text)) is not None and cell.unit]
    return {unit.kind for text in set(found) if (unit := unit_named(text)) is not None}


def stated_units(table: Table, column: _Column) -> tuple[Unit, ...]:
    """The units that a column's name and the row of units below it state."""
    below = unit_named(table.units[column.number]) if column.number < len(table.units) else None
    return tuple(dict.fromkeys((*units_in(column.name), *([] if below is None else [below]))))


def _power(path: object, table: Table, rest: Sequence[_Column], unit_column: int | None) -> int:
    """The column of the power drawn, by unit, by name, by what its cells say."""
    numbers = [one for one in rest if one.is_number()]
    if unit_column is not None and (values := [one for one in numbers if one.plain.strip("_") in _VALUE_NAMES]):
        return values[0].number
    kinds = {one.number: {unit.kind for unit in stated_units(table, one)} | _cell_kinds(one) for one in numbers}
    able = [one for one in numbers if _may_be_power(one, kinds[one.number])]
    able = [one for one in able if POWER in kinds[one.number]] or able
    able = _preferred(able)
    if len(able) == 1:
        return able[0].number
    if not able and any(one.plain == "entity_id" for one in rest):
        able = [one for one in rest if one.plain == "state"]
        if able:
            return able[0].number
    if not able:
        able = [one for one in numbers if one.plain.strip("_") in _VALUE_NAMES and not kinds[one.number]]
        if len(able) == 1:
            return able[0].number
    if able:
        raise _not_clear(path, able, "watts_column")
    raise _no_power(numbers, kinds, path) or _not_clear(path, (one for one in rest), "watts_column")


def _may_be_power(column: _Column, kinds: set[str]) -> bool:
    if column.words & NO_POWER_DRAWN or column.plain.endswith("apparentpower") or "%" in column.name:
        return False
    if kinds:
        unsure = kinds == {OTHER} and bool(column.words & POWER_WORDS)
        return POWER in kinds or unsure
    return bool(column.words & POWER_WORDS) or column.plain in ("p", "w")


def _preferred(able: list[_Column]) -> list[_Column]:
    """Of several columns of power the total of the phases, else the one that is no mean."""
    totals = [one for one in able if one.words & _TOTAL_WORDS]
    if not all(one.words & _PHASE_WORDS for one in able if one not in totals):
        totals = []  # the total of a PDU's outlets is that of other machines too
    no_means = [one for one in able if not one.words & _MEAN_WORDS]
    for some in (totals, no_means):
        if len(able) > 1 and len(some) == 1:
            return some
    return able


def _no_power(numbers: Sequence[_Column], kinds: dict[int, set[str]], path: object) -> MeterError | None:
    """What the log holds instead of power, where a column says so."""
    said = {
        APPARENT: "is apparent power (VA), which is more than the power drawn; log watts",
        REACTIVE: "is reactive power, none that is drawn; log watts",
        OTHER: "is no power by its unit; log watts",
        ENERGY: "counts energy, and a log of power is expected; log watts beside it",
    }
    for kind, what in said.items():
        for one in numbers:
            named = kind == APPARENT and bool(one.words & _APPARENT_WORDS or one.plain.endswith("apparentpower"))
            other = kind == OTHER and one.words & (POWER_WORDS | {"load", "last"})
            if (
                (kind in kinds[one.number] and (kind != OTHER or other))
                or named
                or (kind == ENERGY and "energy" in one.words)
            ):
                return MeterError(f"column {one.name!r} of {path} {what} (or name a column with watts_column)")
    return None


def _unit(table: Table, column: _Column, unit_column: int | None, was_named: bool) -> tuple[Unit | None, str | None]:
    """(the unit of a whole column, None), (None, what is wrong with it); both None where its cells say it."""
    units = stated_units(table, column)
    if len(units) > 1:
        return None, f"names its unit twice ({' and '.join(unit.name for unit in units)})"
    if units:
        return units[0], None
    if _cell_kinds(column) or unit_column is not None:
        return None, None
    by_form = not table.header or was_named or _FORMAT_WATTS.fullmatch(column.plain) is not None
    return (WATT if by_form else None), None
