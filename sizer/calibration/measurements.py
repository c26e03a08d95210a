"""The measurement file: every timing appended and synced as it is taken, so that a crash loses at most one.

One JSON object a line. The first describes the machine, the settings and the plan; each further one is a timing. The
file replays on any machine, and a run that was interrupted resumes from it.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sizer.base.errors import MeasurementError
from sizer.base.storage import JsonLines, line, read_objects, write_whole
from sizer.method.training_step import OPTIMIZER_FORMS

MEASUREMENTS_FORMAT = "sizer.measurements/1"
#: The last line of a plan that is done: the next calibration starts anew.
END = {"end": True}
#: Largest width, batch or count of steps that a file may say: what PyTorch itself can count in.
_MOST = 2**31


class Case(NamedTuple):
    """A network to time: its shape, widths, batch size, and the form of its optimizer (`OPTIMIZER_FORMS`)."""

    shape: str | None
    input_dim: int
    widths: tuple[int, ...]
    batch_size: int
    form: str = "fused"

    @property
    def full(self) -> tuple[int, ...]:
        """The input width followed by every layer's width."""
        return (self.input_dim, *self.widths)


class Timing(NamedTuple):
    """One timed run of a network, by its position in the plan, in one of the rounds.

    ``step_s`` is the quiet time of a step, ``steps`` how many were timed; ``disturbed`` the share of the machine's
    processor time that others used meanwhile (other processes, other virtual machines on the host), None where that is
    not known; ``energy_j`` the energy of one step, None without a meter or where it could not be read, and then
    ``problem`` says why; ``window_unix_s`` when a metered run began and ended. ``reference_s`` is what each reference
    step took right before and right after, in s, None where they were not timed; ``kernel`` what the kernel counted
    meanwhile (`kernel_counters`), which explains and decides nothing.
    """

    case: int
    round: int
    step_s: float
    steps: int
    disturbed: float | None
    energy_j: float | None = None
    window_unix_s: tuple[float, float] | None = None
    problem: str | None = None
    reference_s: Mapping[str, tuple[float, float]] | None = None
    kernel: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Measurements:
    """A measurement file read back: settings, plan and the timings taken so far."""

    settings: Mapping[str, Any]
    plan: tuple[Case, ...]
    timings: tuple[Timing, ...] = ()
    finished: bool = False

    def measured(self) -> dict[int, list[Timing]]:
        """The timings of each planned network that has any, by its position in the plan."""
        found: dict[int, list[Timing]] = {}
        for timing in self.timings:
            found.setdefault(timing.case, []).append(timing)
        return dict(sorted(found.items()))


def read_measurements(path: Path) -> Measurements:
    """Read a measurement file. A last line cut short, by a crash or a full disk, is left out.

    Raises MeasurementError for a file that cannot be read, is none, or is of another format version.
    """
    try:
        objects = read_objects(path)
    except OSError as error:
        raise MeasurementError(f"{path} cannot be read ({error.strerror}); name a measurement file") from None
    header, *records = objects or [{}]
    if "format" not in header:
        raise MeasurementError(f"{path} is no measurement file; `sizer calibrate` writes them")
    if header["format"] != MEASUREMENTS_FORMAT:
        raise MeasurementError(
            f"{path} is of format {header['format']!r}; this version reads {MEASUREMENTS_FORMAT}: calibrate again"
        )
    try:
        plan = tuple(_case(record) for record in header["plan"])
        timings = tuple(timing_of(record, len(plan)) for record in records if not _is_end(record))
        settings = dict(header["settings"])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise MeasurementError(
            f"{path} is damaged beyond its last line ({error}); calibrate again with --fresh"
        ) from None
    return Measurements(settings, plan, timings, any(map(_is_end, records)))


def _is_end(record: Mapping[str, Any]) -> bool:
    return record.get("end") is True


def _case(record: Mapping[str, Any]) -> Case:
    """A network that there can be. Raises TypeError or ValueError for one that there cannot."""
    widths, form = tuple(record["widths"]), record.get("form", "fused")
    case = Case(record["shape"], record["input_dim"], widths, record["batch_size"], form)
    counts = (case.input_dim, case.batch_size, *widths)
    if not widths or form not in OPTIMIZER_FORMS or not all(type(each) is int and 0 < each <= _MOST for each in counts):
        raise ValueError(f"no network: {str(record)[:80]}")
    return case


def timing_of(record: Mapping[str, Any], planned: int = _MOST) -> Timing:
    """A timing whose numbers can be such, later fields left out. Raises TypeError or ValueError for one that cannot."""
    timing = Timing(**{name: value for name, value in record.items() if name in Timing._fields})
    counts, amounts = (timing.case, timing.round, timing.steps), (timing.disturbed, timing.energy_j)
    reference_s, window = timing.reference_s, timing.window_unix_s
    around = {} if reference_s is None else {name: (float(b), float(a)) for name, (b, a) in reference_s.items()}
    times_s = (timing.step_s, *(each for pair in around.values() for each in pair))
    can_be = all(type(each) is int and 0 <= each <= _MOST for each in counts)
    can_be &= timing.case < planned and timing.steps > 0 and all(0 < each < math.inf for each in times_s)
    if not can_be or not all(each is None or type(each) in (int, float) for each in amounts):
        raise ValueError(f"no timing: {str(record)[:80]}")
    return timing._replace(
        reference_s=None if reference_s is None else around,
        window_unix_s=None if window is None else (float(window[0]), float(window[1])),
    )


def interrupted_or_new(
    path: Path, same: Mapping[str, Any] | None, begin: Callable[[], Measurements]
) -> tuple[JsonLines, Measurements]:
    """The file to append to: the one that was interrupted with the ``same`` settings (None: never), else a new one."""
    with suppress(MeasurementError):
        found = None if same is None else read_measurements(path)
        if found is not None and found.settings.get("same") == same and not found.finished:
            return appended(path), found
    new = begin()
    return create(path, new.settings, new.plan), new


def create(path: Path, settings: Mapping[str, Any], plan: tuple[Case, ...]) -> JsonLines:
    """Start a file with its settings and plan. A file that is in its place is kept beside it, as ``.previous``.

    Raises MeasurementError when it cannot be written.
    """
    header = {"format": MEASUREMENTS_FORMAT, "settings": settings, "plan": [case._asdict() for case in plan]}
    try:
        if path.exists():
            path.replace(path.with_suffix(f".previous{path.suffix}"))
        write_whole(path, line(header))
    except OSError as error:
        raise _not_written(path, error) from None
    return appended(path)


def appended(path: Path) -> JsonLines:
    """A file that goes on, for timings and `END`. Adding raises MeasurementError; what was written before stays."""
    return JsonLines(path, _not_written)


def _not_written(path: Path, error: OSError) -> MeasurementError:
    """What is wrong and how to go on: a full disk needs space, anything else another folder."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "free some space and run the same command again: it goes on where it stopped"
    else:
        remedy = "set XDG_DATA_HOME to a folder that can"
    return MeasurementError(f"{path} cannot be written ({error.strerror or error}); {remedy}")
