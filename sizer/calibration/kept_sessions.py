"""The sessions that calibrations of this machine leave behind: kept, listed, removed.

The session under way, or the last one, is the device's measurement file itself; when the next one begins it moves to
the folder ``sessions`` beside it.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sizer.base.errors import MeasurementError
from sizer.base.records import Record, plain
from sizer.calibration.combine import SessionSummary, combine
from sizer.calibration.measurements import Measurements, read_measurements

SESSIONS_FORMAT = "sizer.calibration_sessions/1"
#: Limits of what is kept: a session has 0.4 MB, and firmware, kernel and neighbours change within a season.
MOST_SESSIONS = 12
MOST_DAYS = 90
#: What sessions must have in common to be fitted together, beside what a calibration holds for.
_SAME = ("dtype", "optimizer")


class Kept(NamedTuple):
    """A session's file with what it holds."""

    path: Path
    measurements: Measurements


def folder_beside(path: Path) -> Path:
    """Where the sessions before the one in a measurement file are kept."""
    return path.parent / "sessions"


def keep_finished(path: Path) -> None:
    """Move a device's finished session to those that are kept, before the next one begins; the oldest go.

    Raises MeasurementError when it cannot be moved.
    """
    try:
        found = read_measurements(path)
    except MeasurementError:
        return
    if not found.finished:
        return
    target = _free_name(folder_beside(path), path.stem, str(found.settings.get("date", "")))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
        for old in sorted(folder_beside(path).glob(f"{path.stem}-*.jsonl"))[: -(MOST_SESSIONS - 1)]:
            old.unlink()
    except OSError as error:
        raise MeasurementError(f"{target} cannot be written ({error.strerror}); free some space or move it") from None


def _free_name(folder: Path, device: str, date: str) -> Path:
    """A file of that day and second that is not there; names sort by date."""
    name = f"{device}-{re.sub(r'[^0-9T]', '', date)[:15]}"
    while (folder / f"{name}.jsonl").exists():
        name += "x"
    return folder / f"{name}.jsonl"


def kept_sessions(path: Path) -> list[Kept]:
    """The finished sessions of a device, the oldest first, that in its measurement file last; young ones only."""
    found = []
    for each in (*sorted(folder_beside(path).glob(f"{path.stem}-*.jsonl")), path):
        with suppress(MeasurementError):
            kept = Kept(each, read_measurements(each))
            if kept.measurements.finished and _age_days(kept.measurements) <= MOST_DAYS:
                found.append(kept)
    return found


def _age_days(measurements: Measurements) -> float:
    try:
        made = datetime.datetime.fromisoformat(measurements.settings["date"])
        return (datetime.datetime.now(datetime.timezone.utc) - made).total_seconds() / 86400
    except (KeyError, TypeError, ValueError):
        return float("inf")


def comparable(settings: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether two sessions are of one machine in one condition: hardware, threads, torch, kernel, and what is timed.

    A kernel that an earlier release did not note is not compared.
    """
    kernels = {each["kernel"] for each in (settings, others) if each.get("kernel") is not None}
    same = all(settings.get(name) == others.get(name) for name in ("identity", *_SAME))
    return same and len(kernels) < 2


def comparable_sessions(path: Path, measurements: Measurements) -> list[Measurements]:
    """The kept sessions that can be fitted together with these measurements, the oldest first, without themselves."""
    others = (kept.measurements for kept in kept_sessions(path) if kept.path != path)
    return [each for each in others if comparable(each.settings, measurements.settings)]


def forget(sessions: list[Kept]) -> None:
    """Remove sessions' files. Raises MeasurementError for one that cannot be."""
    try:
        for kept in sessions:
            kept.path.unlink(missing_ok=True)
    except OSError as error:
        raise MeasurementError(f"{kept.path} cannot be removed ({error.strerror}); remove it by hand") from None


@dataclass(frozen=True)
class KeptSessions(Record):
    """The sessions that are kept of a device, the oldest first, and the file of each."""

    device: str
    sessions: tuple[SessionSummary, ...]
    paths: tuple[Path, ...]

    def to_dict(self) -> dict[str, Any]:
        """The record as the JSON data ``sizer.calibration_sessions/1``."""
        return {"format": SESSIONS_FORMAT, "device": self.device, "sessions": self.rows()}

    def rows(self) -> list[dict[str, Any]]:
        """One row a session."""
        return [plain(each) | {"path": str(path)} for each, path in zip(self.sessions, self.paths, strict=True)]

    def remarks(self) -> tuple[str, ...]:
        """What to do where nothing is kept."""
        return () if self.sessions else (f"no calibration of {self.device} is kept; run `sizer calibrate`",)


def show_sessions(device: str, path: Path) -> KeptSessions:
    """What is kept of a device, from when, how quiet; sessions in another condition than the last are not compared."""
    kept = kept_sessions(path)
    last = kept[-1].measurements.settings if kept else {}
    of_one = [each for each in kept if comparable(each.measurements.settings, last)]
    others = [each for each in kept if each not in of_one]
    summaries = [] if not of_one else list(combine([each.measurements for each in of_one], 0).sessions)
    alone = [combine([each.measurements], 0).sessions[0]._replace(factor=None, used=False) for each in others]
    both = sorted(zip([*alone, *summaries], [*others, *of_one], strict=True), key=lambda pair: pair[0].date)
    return KeptSessions(device, tuple(pair[0] for pair in both), tuple(pair[1].path for pair in both))
