"""The log of an external wattmeter or board controller: a text file of times and powers, read after the run.

It is the one meter that sees the whole machine, power supply included. The two clocks must agree; how a run is charged
is in `sizer.meters.power_log`. What is taken for what is decided by the file's content and said in one line.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median

from sizer.base.errors import MeterError, UsageError
from sizer.base.units import counted
from sizer.meters.local_times import StampError, Times, readings, time_zone_named
from sizer.meters.log_columns import columns_of, stated_units
from sizer.meters.log_roles import Roles, roles
from sizer.meters.log_rows import Entry, entity_unit, no_sample, read_rows, zone_written
from sizer.meters.log_table import Table, is_missing, read_table
from sizer.meters.power_log import WALL, PowerLog, energy_between, power_log
from sizer.meters.power_units import WATT, Powers, decimal_marks, powers, split_cell, stated_unit, units_in
from sizer.meters.protocol import MEASURED, Energy, Snapshot
from sizer.meters.timestamps import YEAR_FIRST

_MAX_BYTES = 2**30
#: Least median of powers that are taken as W by what their format means (a history of Home Assistant; a log without a
#: header, Shelly's, Tasmota's, a named column): a machine that trains draws more, and in kW it would be less.
_LEAST_HISTORY_W, _LEAST_BARE_W = 10.0, 1.0


@dataclass(frozen=True)
class LogFormat:
    """What a log's reader must be told where the file does not say it.

    ``time_zone`` replaces the offsets in the file; ``time_column`` and ``watts_column`` name columns; ``unit`` is that
    of the power (the named column's: W where its name and cells say none); ``decimal`` is the numbers' mark, ``.`` or
    ``,``; ``node`` picks the rows of one machine, entity or sensor; ``period_s`` is the step between samples (None: the
    median); ``clock_offset_s`` is added to the log's times.
    """

    time_zone: str | None = None
    time_column: str | None = None
    watts_column: str | None = None
    node: str | None = None
    period_s: float | None = None
    clock_offset_s: float = 0.0
    unit: str | None = None
    decimal: str | None = None


def read_power_log(path: str | os.PathLike[str], layout: LogFormat | None = None) -> PowerLog:
    """Read a log.

    Raises MeterError for a file that is no power log, or that does not say surely what its powers are; UsageError for
    a column, a unit or a time zone that does not exist.
    """
    layout = layout or LogFormat()
    _check(layout)
    path = Path(path)
    zone = time_zone_named(layout.time_zone)
    text = _text(path)
    try:
        table = read_table(text)
    except ValueError as error:
        raise MeterError(f"the power log {path} is no table: {error}") from None
    if table is None or not table.rows:
        raise MeterError(
            f"the power log {path} holds no sample: no line of it has a time (epoch seconds, or date and clock time) "
            "and a power"
        )
    layout = _entity_for_column(table, layout)
    found = roles(path, table, layout.time_column, layout.watts_column)
    warnings: list[str] = []
    entries, node = read_rows(path, table, found, layout.node, warnings)
    if not entries:
        raise MeterError(f"the power log {path} holds no sample" + (f" of {layout.node}" if layout.node else ""))
    if not text.endswith(("\n", "\r")) and is_missing(entries[-1].cell):
        entries = entries[:-1]
    read = _powers(path, table, found, entries, layout, node, warnings)
    zone_text = zone_written(table, found)
    try:
        stamps = [entry.stamp for entry in entries]
        likely = readings(stamps, zone, zone_text)
        if not _rises(likely[0]) and _rises((turned := readings(stamps[::-1], zone, zone_text))[0]):
            entries, read, likely = entries[::-1], read._replace(watts=read.watts[::-1]), turned
    except StampError as error:
        raise no_sample(path, entries[error.index].row, str(error)) from None
    said = _said(table, found, read, node)
    logs = [_log(path, times, entries, read, layout, (said, *warnings)) for times in likely]
    if len(logs) == 1:
        return logs[0]
    orders = " or ".join(f"{times.order}" for times in likely)
    taken = said.replace("{times}", f"{orders}, whichever the run lies in; {likely[0].zone}")
    return replace(logs[0], others=tuple(logs[1:]), taken=taken)


def _rises(times: Times) -> bool:
    """Whether each sample is later than the one before. Read backwards, a log that does has its newest sample first."""
    return len(times.unix_s) > 2 and all(earlier < later for earlier, later in pairwise(times.unix_s))


def _check(layout: LogFormat) -> None:
    if layout.period_s is not None and not 0 < layout.period_s < math.inf:
        raise UsageError(f"period_s is {layout.period_s!r}; expected a number of seconds above 0")
    if layout.decimal not in (None, ".", ","):
        raise UsageError(f"--log-decimal is {layout.decimal!r}; expected . or ,")


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise MeterError(f"the power log {path} is larger than {_MAX_BYTES >> 20} MiB; cut out the time of the run")
        content = path.read_bytes()
    except OSError as error:
        raise MeterError(f"the power log {path} cannot be read: {error.strerror}") from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _entity_for_column(table: Table, layout: LogFormat) -> LogFormat:
    """A power column that is no column but an entity or a sensor of a long table names rows."""
    name = layout.watts_column
    if name is None or name in table.header or layout.node is not None:
        return layout
    if any(name in row.cells for row in table.rows):
        return replace(layout, node=name, watts_column=None)
    return layout


def _powers(
    path: Path,
    table: Table,
    found: Roles,
    entries: Sequence[Entry],
    layout: LogFormat,
    node: str | None,
    warnings: list[str],
) -> Powers:
    """The powers of the chosen rows. Raises MeterError where their unit or their decimal mark is not sure."""
    name = repr(columns_of(table)[found.power].name) + (f" of {node}" if node else "")
    what = f"column {name} of {path}"
    unit, stated = found.unit or found.unit_problem, stated_unit(layout.unit)
    is_history = found.node is not None and "entity_id" in table.header
    if is_history and unit is None and node is not None:
        unit = entity_unit(what, node)
    texts = [(entry.cell, entry.unit) for entry in entries]
    read = powers(what, texts, unit, stated, layout.decimal or _marks(table))
    if stated is not None:
        return read
    if found.unit is not None and not stated_units(table, columns_of(table)[found.power]):
        return _plausible(what, read, _LEAST_BARE_W)
    if is_history and unit is WATT and not units_in(node or ""):
        warnings.append(f"{what} has no unit; W, Home Assistant's default, is assumed: --log-unit names another")
        read = read._replace(unit="W (Home Assistant's default: the log has none)")
        return _plausible(what, read, _LEAST_HISTORY_W)
    return read


def _plausible(what: str, read: Powers, least_w: float) -> Powers:
    """The powers, unless a unit that no log says makes them less than a machine draws. Raises MeterError then."""
    known = [watts for watts in read.watts if watts is not None]
    if known and median(known) < least_w:
        raise MeterError(
            f"the unit of {what} is not known, and {known[0]:g} W is little for a machine; name it with --log-unit"
        )
    return read


def _marks(table: Table) -> str:
    """The decimal marks that a log may use where the powers do not tell: other columns do, or the form it has."""
    if table.delimiter == " " or len(table.form) > 6:
        return "."
    told = set()
    for column in columns_of(table):
        split = [cell.number for text in column.cells if (cell := split_cell(text)) is not None]
        if column.is_number() and split and len(marks := decimal_marks(split)) == 1:
            told |= {mark for mark in marks if any("." in text or "," in text for text in split)}
    if len(told) == 1:
        return told.pop()
    # Between commas a dot is a decimal one: where it groups digits, commas are decimal and separate nothing.
    with_comma = any("," in cell for row in table.rows[:400] for cell in row.cells)
    return "." if table.delimiter in ",|" and not with_comma else ".,"


def _log(
    path: Path, times: Times, entries: Sequence[Entry], powers: Powers, layout: LogFormat, notes: Sequence[str]
) -> PowerLog:
    said, *warnings = notes
    if "this machine's zone" in times.zone:
        warnings.append(f"the times of {path} have no time zone, this machine's is assumed; name theirs with time_zone")
    offset = layout.clock_offset_s
    pairs = list(zip(times.unix_s, entries, powers.watts, strict=True))
    bad = [
        (time_s + offset, f"line {entry.row.number} ({entry.row.line.strip()[:60]!r})")
        for time_s, entry, watts in pairs
        if watts is None
    ]
    samples = [(time_s + offset, watts) for time_s, _, watts in pairs if watts is not None]
    log = power_log(samples, layout.period_s, f"power log {path}", warnings, bad)
    if log is None:
        raise MeterError(
            f"the power log {path} holds no sample: {bad[0][1]} is the first of {len(bad)} without a power"
        )
    order = f"{times.order}, " if times.order not in (None, YEAR_FIRST) else ""
    twice = tuple((since + offset, until + offset) for since, until in times.twice)
    return replace(log, twice=twice, order=times.order, taken=said.replace("{times}", f"{order}{times.zone}"))


def _said(table: Table, found: Roles, powers: Powers, node: str | None) -> str:
    """What was taken for what; the order and zone of the times are filled in by `_log`."""
    names = [one.name for one in columns_of(table)]
    time_names = " and ".join(repr(names[column]) for column in found.time)
    zone = f" with {names[found.zone]!r}" if found.zone is not None else ""
    mark = ", decimal commas" if powers.mark == "," else ""
    of = f" of {node}" if node else ""
    form = f"; {table.form}" if len(table.form) > 6 else ""
    lines = len(table.above)
    above = f"; {counted(lines, 'line')} above the table left out" if lines else ""
    power = f"power from {names[found.power]!r}{of} in {powers.unit}{mark}"
    return f"time from {time_names}{zone} ({{times}}), {power}{form}{above}"


def source_line(log: PowerLog) -> str:
    """What a log was read as and what it covers, for the record of a measurement."""
    taken = f" ({log.taken})" if log.taken else ""
    is_gpu = log.taken is not None and "power from 'power.draw" in log.taken
    covers = "the GPU's board as nvidia-smi reads it" if is_gpu else "the whole machine at the wattmeter"
    return f"{log.source}{taken}, {covers}, a sample every {log.period_s:.3g} s"


class WattmeterLog:
    """A meter whose readings are in a log that another device writes.

    A snapshot is the wall clock; the log is read when energy is asked for, again if it has grown since. Raises
    MeterError at once when the file cannot be read.
    """

    name = "wattmeter-log"
    label = MEASURED
    quantities: tuple[str, ...] = (WALL,)
    maximum_window_s: float | None = None

    def __init__(self, path: str | os.PathLike[str], layout: LogFormat | None = None) -> None:
        self.path = Path(path)
        self._layout = layout or LogFormat()
        self._stamp: tuple[int, int] | None = None
        self._log = self._current()
        self.source = source_line(self._log)

    @property
    def minimum_window_s(self) -> float:
        """Ten samples, which keeps the error of cutting at the run's ends at 10 %."""
        return 10 * self._log.period_s

    def _current(self) -> PowerLog:
        try:
            status = self.path.stat()
        except OSError as error:
            raise MeterError(f"the power log {self.path} cannot be read: {error.strerror}") from error
        stamp = status.st_mtime_ns, status.st_size
        if stamp != self._stamp:
            self._log, self._stamp = read_power_log(self.path, self._layout), stamp
        return self._log

    def snapshot(self) -> Snapshot:
        """The time alone."""
        return Snapshot(time.perf_counter(), time.time())

    def energy(self, start: Snapshot, end: Snapshot) -> Energy:
        """The energy between two snapshots, as far as the log tells. Raises MeterError when the log cannot be read."""
        return energy_between(self._current(), start.unix_s, end.unix_s)

    def close(self) -> None:
        """Nothing to let go of."""
