"""Which columns of a power log hold the time, the power and its unit, the machine, the time zone. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from sizer.base.errors import MeterError
from sizer.meters.log_columns import (
    Column,
    column_unit,
    columns_of,
    named_column,
    not_clear,
    power_column,
    unnamed_power_column,
)
from sizer.meters.log_table import Table, is_moment, is_time
from sizer.meters.power_units import Unit, unit_named
from sizer.meters.timestamps import is_bare_clock, is_clock, is_date

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
        power = named_column(path, table.header, watts_column, "watts_column")
    elif not table.header:
        power = unnamed_power_column(path, columns, rest, unit_column)
        if unit_column is None and node is None and len(columns) == 3 and len(rest) == 2:
            node = next(one.number for one in rest if one.number != power)
    else:
        power = power_column(path, table, rest, unit_column)
    unit, problem = column_unit(table, columns[power], unit_column, watts_column is not None)
    if unit_column is not None and node is None and unit_column == power + 1 and power - 1 not in (*time, -1):
        node = power - 1
    return Roles(time, power, unit, problem, unit_column, None if node == power else node, zone)


def _time(path: object, table: Table, columns: Sequence[Column], name: str | None) -> tuple[int, ...]:
    """The column of times, or those of dates and clock times."""
    clocks = [one for one in columns if one.mostly(is_clock) and not one.mostly(is_date)]
    clocks = clocks or [one for one in columns if one.mostly(is_bare_clock) and one.plain in _CLOCK_NAMES]
    if name is not None:
        named = columns[named_column(path, table.header, name, "time_column")]
        has_clock_beside = named.mostly(is_date) and len(clocks) == 1
        return (named.number, clocks[0].number) if has_clock_beside else (named.number,)
    moments = _best_times([one for one in columns if one.mostly(is_moment)])
    if len(moments) == 1:
        return (moments[0].number,)
    if moments:
        raise not_clear(path, moments, "time_column")
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
    raise not_clear(path, columns, "time_column")


def _without_units(column: Column) -> str:
    return re.sub(r"_(s|ms|us|ns|utc|gmt|seconds)$", "", column.plain)


def _rank(plain: str) -> int:
    return _TIME_NAMES.index(plain) if plain in _TIME_NAMES else len(_TIME_NAMES)


def _best_times(moments: list[Column]) -> list[Column]:
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


def _is_unit_column(column: Column) -> bool:
    return column.mostly(unit_named) and not column.is_number()


def _is_zone_column(column: Column) -> bool:
    said = bool(column.words & {"offset", "utcoffset", "timezone", "tz"}) or {"time", "zone"} <= column.words
    return said and not column.words & {"power", "watts"}


def _node(columns: Sequence[Column]) -> int | None:
    for name in _NODE_NAMES:
        for one in columns:
            numbering = name in _NUMBERING and 2 * len(set(one.cells)) > len(one.cells)
            if one.plain == name and not numbering:
                return one.number
    return None
