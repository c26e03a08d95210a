"""The columns of a power log, and which of them is the power drawn and in what unit: by what they say and hold. Pure.

A choice that two columns claim alike is refused with their names, as is one that a column of another quantity would be
(an energy counter, apparent power, a limit).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sizer.base.errors import MeterError, UsageError, listed
from sizer.meters.log_table import Table, is_missing
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

#: Rows that roles are decided from.
_LOOKED_AT = 400
POWER_WORDS = frozenset(
    (
        *("power", "pwr", "apower", "watt", "watts", "wattage", "leistung", "wirkleistung", "puissance", "potencia"),
        *("potenza", "vermogen", "effekt"),
    )
)
NO_POWER_DRAWN = frozenset(
    (
        *("limit", "cap", "max", "maximum", "min", "minimum", "peak", "default", "rated", "nominal", "setpoint"),
        *("threshold", "factor", "faktor", "management", "state", "status", "reactive", "blind", "blindleistung"),
        *("apparent", "apparentpower", "aprt", "scheinleistung", "schein", "returned", "export", "exported", "budget"),
    )
)
_APPARENT_WORDS = frozenset(("apparent", "apparentpower", "aprt", "scheinleistung"))
_TOTAL_WORDS = frozenset(("total", "sum", "gesamt", "summe", "overall"))
_PHASE_WORDS = frozenset(("a", "b", "c", "l1", "l2", "l3", "r", "s", "t", "phase", "ph1", "ph2", "ph3"))
_MEAN_WORDS = frozenset(("avg", "average", "mean", "mittel", "mittelwert"))
#: Names of formats that fix the unit: Shelly's (Gen2 API, ``apower`` and ``act_power``), Tasmota's ENERGY, Gen1 meters.
_FORMAT_WATTS = re.compile(r"(?:.*_)?(?:apower|act_power|energy_power)|meters_\d+_power")
_VALUE_NAMES = ("state", "value", "reading", "wert")


class Column(NamedTuple):
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


def columns_of(table: Table) -> list[Column]:
    """The table's columns, named by their place where it has no header."""
    width = max([len(table.header), *(len(row.cells) for row in table.rows)])
    looked_at = table.rows[:_LOOKED_AT]
    found = []
    for number in range(width):
        name = table.header[number] if number < len(table.header) else f"column {number + 1}"
        split = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", name)
        plain = re.sub(r"[^\w%]+", "_", split.lower()).strip("_")
        held = tuple(row.cells[number] for row in looked_at if number < len(row.cells))
        found.append(Column(number, name, plain, frozenset(plain.split("_")), held))
    return found


def named_column(path: object, header: Sequence[str], name: str, option: str) -> int:
    """The place of a column that the user names. Raises UsageError for none or several of that name."""
    if name not in header:
        raise UsageError(f"{option} is {name!r}, but the columns of {path} are {listed(header, most=12)}")
    if header.count(name) > 1:
        raise UsageError(f"{option} is {name!r}, and {header.count(name)} columns of {path} are called so; rename one")
    return header.index(name)


def not_clear(path: object, columns: Iterable[Column], option: str) -> MeterError:
    """The refusal of columns of which none is clearly the one."""
    names = listed(one.name for one in columns)
    return MeterError(f"which column of {path} is which is not clear ({names}); name one with {option}")


def unnamed_power_column(
    path: object, columns: Sequence[Column], rest: Sequence[Column], unit_column: int | None
) -> int:
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


def _is_cut_number(rest: Sequence[Column], power: Column) -> bool:
    """Whether a power may be what stands behind a decimal comma: whole numbers on both sides of it."""
    before = next((one for one in rest if one.number == power.number - 1), None)
    whole = [re.match(r"\d+(?![\d.,])", cell) is not None for cell in power.cells if cell]
    return before is not None and before.mostly(str.isdigit) and all(whole)


def _cell_kinds(column: Column) -> set[str]:
    found = [cell.unit for text in column.cells if (cell := split_cell(text)) is not None and cell.unit]
    return {unit.kind for text in set(found) if (unit := unit_named(text)) is not None}


def stated_units(table: Table, column: Column) -> tuple[Unit, ...]:
    """The units that a column's name and the row of units below it state."""
    below = unit_named(table.units[column.number]) if column.number < len(table.units) else None
    return tuple(dict.fromkeys((*units_in(column.name), *([] if below is None else [below]))))


def power_column(path: object, table: Table, rest: Sequence[Column], unit_column: int | None) -> int:
    """The column of the power drawn, by unit, by name, by what its cells say."""
    numbers = [one for one in rest if one.is_number()]
    if unit_column is not None and (values := [one for one in numbers if one.plain in _VALUE_NAMES]):
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
        able = [one for one in numbers if one.plain in _VALUE_NAMES and not kinds[one.number]]
        if len(able) == 1:
            return able[0].number
    if able:
        raise not_clear(path, able, "watts_column")
    raise _no_power(numbers, kinds, path) or not_clear(path, (one for one in rest), "watts_column")


def _may_be_power(column: Column, kinds: set[str]) -> bool:
    if column.words & NO_POWER_DRAWN or "%" in column.name:
        return False
    if kinds:
        unsure = kinds == {OTHER} and bool(column.words & POWER_WORDS)
        return POWER in kinds or unsure
    return bool(column.words & POWER_WORDS) or column.plain == "p"


def _preferred(able: list[Column]) -> list[Column]:
    """Of several columns of power the total of the phases, else the one that is no mean."""
    totals = [one for one in able if one.words & _TOTAL_WORDS]
    if not all(one.words & _PHASE_WORDS for one in able if one not in totals):
        totals = []  # the total of a PDU's outlets is that of other machines too
    no_means = [one for one in able if not one.words & _MEAN_WORDS]
    for some in (totals, no_means):
        if len(able) > 1 and len(some) == 1:
            return some
    return able


def _no_power(numbers: Sequence[Column], kinds: dict[int, set[str]], path: object) -> MeterError | None:
    """What the log holds instead of power, where a column says so."""
    said = {
        APPARENT: "is apparent power (VA), which is more than the power drawn; log watts",
        REACTIVE: "is reactive power, none that is drawn; log watts",
        OTHER: "is no power by its unit; log watts",
        ENERGY: "counts energy, and a log of power is expected; log watts beside it",
    }
    for kind, what in said.items():
        for one in numbers:
            named = kind == APPARENT and bool(one.words & _APPARENT_WORDS)
            other = kind == OTHER and one.words & (POWER_WORDS | {"load", "last"})
            if (
                (kind in kinds[one.number] and (kind != OTHER or other))
                or named
                or (kind == ENERGY and "energy" in one.words)
            ):
                return MeterError(f"column {one.name!r} of {path} {what} (or name a column with watts_column)")
    return None


def column_unit(
    table: Table, column: Column, unit_column: int | None, was_named: bool
) -> tuple[Unit | None, str | None]:
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
