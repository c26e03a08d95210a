"""The log of an external wattmeter or board controller: a CSV file of time and watts, read after the run.

It is the one meter that sees the whole machine, power supply included. The two clocks must agree; how a run is charged
is in `sizer.meters.power_log`.
"""

from __future__ import annotations

import csv
import math
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sizer.base.errors import MeterError, UsageError
from sizer.meters.power_log import WALL, PowerLog, energy_between, power_log
from sizer.meters.protocol import MEASURED, Energy, Snapshot
from sizer.meters.timestamps import TimeReader, time_zone_named

_TIME_NAMES = (
    *("timestamp", "datetime", "date_time", "unix", "unix_time", "unix_s"),
    *("epoch", "epoch_s", "time", "time_s", "date", "t"),
)
_NODE_NAMES = ("node", "host", "hostname", "channel")
#: Column name -> W in one of its unit. Names are compared in lower case, runs of other signs as one underscore.
_WATT_NAMES = ("watts", "watt", "w", "power_w", "power_watts", "power", "active_power_w", "active_power", "p_w", "p")
_POWER_NAMES = {
    **dict.fromkeys(_WATT_NAMES, 1.0),
    **dict.fromkeys(("mw", "milliwatts", "power_mw"), 1e-3),
    **dict.fromkeys(("kw", "kilowatts", "power_kw"), 1e3),
}
_MAX_BYTES = 2**30


@dataclass(frozen=True)
class LogFormat:
    """What a log's reader must be told where the file does not say it.

    ``time_zone`` replaces the offsets in the file; ``time_column`` and ``watts_column`` (which is in W) name columns;
    ``node`` picks the rows of one machine; ``period_s`` is the step between samples (None: the median);
    ``clock_offset_s`` is added to the log's times.
    """

    time_zone: str | None = None
    time_column: str | None = None
    watts_column: str | None = None
    node: str | None = None
    period_s: float | None = None
    clock_offset_s: float = 0.0


@dataclass(frozen=True)
class _Columns:
    time: int
    watts: int
    node: int | None
    scale: float


def read_power_log(path: str | os.PathLike[str], layout: LogFormat | None = None) -> PowerLog:
    """Read a log.

    Raises MeterError for a file that is no power log, UsageError for a column or a time zone that does not exist.
    """
    layout = layout or LogFormat()
    if layout.period_s is not None and not 0 < layout.period_s < math.inf:
        raise UsageError(f"period_s is {layout.period_s!r}; expected a number of seconds above 0")
    path = Path(path)
    lines = _lines(path)
    reader = TimeReader(time_zone_named(layout.time_zone))
    warnings: list[str] = []
    rows = list(_samples(path, lines, layout, reader, warnings))
    samples = [(time_s + layout.clock_offset_s, watts) for time_s, watts in rows]
    if reader.assumed_local:
        warnings.append(f"the times of {path} have no time zone, this machine's is assumed; name theirs with time_zone")
    log = power_log(samples, layout.period_s, f"power log {path}", warnings)
    if log is None:
        raise MeterError(f"the power log {path} holds no sample" + (f" of {layout.node}" if layout.node else ""))
    return log


def _lines(path: Path) -> list[tuple[int, str]]:
    """Numbered lines, comments and empty ones left out."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise MeterError(f"the power log {path} is larger than {_MAX_BYTES >> 20} MiB; cut out the time of the run")
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise MeterError(f"the power log {path} cannot be read: {error.strerror}") from error
    lines = enumerate(text.replace("\0", "").splitlines(), start=1)
    return [(number, line) for number, line in lines if line.strip() and not line.lstrip().startswith("#")]


def _samples(
    path: Path, lines: Sequence[tuple[int, str]], layout: LogFormat, reader: TimeReader, warnings: list[str]
) -> Iterator[tuple[float, float]]:
    """(Unix seconds, W) of each line, the rows of other nodes left out. Appends to ``warnings``."""
    if not lines:
        return
    delimiter = next((sign for sign in ";\t," if sign in lines[0][1]), " ")
    columns, has_header = _columns(path, _cells(lines[0][1], delimiter), layout)
    seen_node: str | None = None
    for number, line in lines[1:] if has_header else lines:
        try:
            cells = _cells(line, delimiter)
            node = None if columns.node is None else cells[columns.node]
            if layout.node is not None and node != layout.node:
                continue
            time_s, watts = reader.read(cells[columns.time]), columns.scale * _number(cells[columns.watts], delimiter)
        except (ValueError, IndexError, OverflowError, OSError, csv.Error) as error:
            if number != lines[-1][0]:
                raise _no_sample(path, number, line, error) from None
            warnings.append(f"the last line of {path} is incomplete and was left out")
            return
        if seen_node not in (None, node):
            raise UsageError(f"{path} has samples of several nodes ({seen_node}, {node}); name one with node")
        seen_node = node
        if not math.isnan(watts):
            yield time_s, watts


def _no_sample(path: Path, number: int, line: str, error: Exception) -> MeterError:
    shown = line.strip()[:60]
    return MeterError(
        f"line {number} of {path} is no sample of time and watts: {shown!r} ({error}); correct or remove it"
    )


def _cells(line: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]


def _number(text: str, delimiter: str) -> float:
    """Watts; an empty or n/a cell is a missing sample (nan). Decimal commas where the comma separates no columns."""
    if text.lower() in ("", "nan", "na", "n/a", "null", "none"):
        return math.nan
    number = float(text.replace(",", ".") if delimiter != "," else text)
    if math.isinf(number):
        raise ValueError(f"{text!r} is no power")
    return number


def _columns(path: Path, first: list[str], layout: LogFormat) -> tuple[_Columns, bool]:
    """Which columns hold what, and whether the first line is a header.

    Without a header: time and watts, or time, node and watts as in the published files.
    """
    if _is_sample(first):
        if layout.time_column or layout.watts_column or len(first) not in (2, 3):
            raise MeterError(
                f"{path} has no header and {len(first)} columns; expected time, watts or time, node, watts"
            )
        return _Columns(0, len(first) - 1, 1 if len(first) == 3 else None, 1.0), False
    names = [re.sub(r"[^a-z0-9]+", "_", cell.lower()).strip("_") for cell in first]
    time_column = _named(path, first, layout.time_column, "time_column")
    watts_column = _named(path, first, layout.watts_column, "watts_column")
    scale = 1.0
    if time_column is None:
        time_column = _first(names, _TIME_NAMES)
    if watts_column is None:
        watts_column = _first(names, tuple(_POWER_NAMES))
        scale = 1.0 if watts_column is None else _POWER_NAMES[names[watts_column]]
    if time_column is None or watts_column is None:
        missing = "time_column" if time_column is None else "watts_column"
        raise MeterError(f"which column of {path} is which is not clear ({', '.join(first)}); name one with {missing}")
    return _Columns(time_column, watts_column, _first(names, _NODE_NAMES), scale), True


def _is_sample(cells: list[str]) -> bool:
    try:
        TimeReader().read(cells[0])
        float(cells[-1].replace(",", "."))
    except (ValueError, IndexError, OverflowError, OSError):
        return False
    return True


def _named(path: Path, header: list[str], name: str | None, option: str) -> int | None:
    if name is None:
        return None
    if name not in header:
        raise UsageError(f"{option} is {name!r}, but the columns of {path} are {', '.join(header)}")
    return header.index(name)


def _first(names: list[str], known: Sequence[str]) -> int | None:
    return next((names.index(name) for name in known if name in names), None)


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
        self.source = f"power log {path}, the whole machine at the wattmeter, a sample every {self._log.period_s:.3g} s"

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
