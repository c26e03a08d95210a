"""The log of one's own study: every run appended and synced as it ends, so that a kill at any moment loses at most one.

One JSON object a line. The first describes the machine, the settings and the data sets; each further one is a run. All
other files of the study are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sizer.base.errors import MeasurementError
from sizer.base.storage import JsonLines, hold_lock, read_objects

LOG_NAME = "own_study.jsonl"
LOG_FORMAT = "sizer.own_study/1"


@dataclass(frozen=True)
class OwnStudy:
    """A log read back: its header, and the runs in the order in which they ended."""

    header: Mapping[str, Any]
    runs: Sequence[Mapping[str, Any]]


def log_path(folder: Path) -> Path:
    """The log of a folder."""
    return folder / LOG_NAME


def is_own_study(folder: Path) -> bool:
    """Whether a folder holds one's own study."""
    return log_path(folder).is_file()


def read_log(folder: Path) -> OwnStudy:
    """Read the log of a folder; a last line cut short, by a kill or a full disk, is left out.

    Raises MeasurementError for a log that cannot be read, is none, or is of another format version.
    """
    path = log_path(folder)
    try:
        records = read_objects(path)
    except OSError as error:
        raise MeasurementError(f"{path} cannot be read ({error.strerror}); `sizer study run` writes it") from None
    if not records or "format" not in records[0]:
        raise MeasurementError(f"{path} is no log of a study; name another --folder, or start anew with --fresh")
    if records[0]["format"] != LOG_FORMAT:
        raise MeasurementError(
            f"{path} is of format {records[0]['format']!r}; this version reads {LOG_FORMAT}: start anew with --fresh"
        )
    if any("run_id" not in record for record in records[1:]):
        raise MeasurementError(f"{path} is damaged: a line in it is no run; restore it, or start anew with --fresh")
    return OwnStudy(records[0], records[1:])


class RunLog:
    """A log to append to, by one process at a time; each line is written whole and synced."""

    def __init__(self, folder: Path) -> None:
        """Open the log of a folder, made if need be. Raises MeasurementError where that fails or another has it."""
        self.path = log_path(folder)
        self._lines = JsonLines(self.path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.path.touch()
            self._lock = hold_lock(folder / "lock")
        except BlockingIOError:
            raise MeasurementError(
                f"another study is running in {folder}; wait for it, or name another --folder"
            ) from None
        except OSError as error:
            raise MeasurementError(f"{self.path} cannot be written ({error.strerror}); name another --folder") from None

    def append(self, record: Mapping[str, Any]) -> None:
        """Append a line. Raises MeasurementError when it cannot be written; what was written before stays."""
        try:
            self._lines.append(record)
        except OSError as error:
            raise MeasurementError(
                f"{self.path} cannot be written ({error.strerror}); free some space and run the same command again: "
                f"it goes on where it stopped"
            ) from None

    def is_empty(self) -> bool:
        """Whether nothing was written yet, or no line of it whole."""
        return not read_objects(self.path)

    def clear(self) -> None:
        """Forget everything."""
        self._lines.close()
        self.path.write_bytes(b"")

    def close(self) -> None:
        """Let go of the file."""
        self._lines.close()
        self._lock.close()
