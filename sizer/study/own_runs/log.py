"""The log of one's own study: every run appended and synced as it ends, so that a kill at any moment loses at most one.

One JSON object a line. The first describes the machine, the settings and the data sets; each further one is a run. All
other files of the study are made from it. At the end: where any folder's runs are from, this machine or the study's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sizer.base.errors import MeasurementError
from sizer.base.storage import JsonLines, hold_lock, read_objects
from sizer.meters.protocol import ESTIMATED, MEASURED
from sizer.method.hardware import device_from_dict
from sizer.method.placement import Hierarchy
from sizer.study import published
from sizer.study.files.schema import GENERATED

LOG_NAME = "own_study.jsonl"
LOG_FORMAT = "sizer.own_study/1"


class OwnStudy(NamedTuple):
    """A log read back: its header, and the runs in the order in which they ended."""

    header: Mapping[str, Any]
    runs: Sequence[Mapping[str, Any]]

    @property
    def levels(self) -> dict[str, Hierarchy]:
        """The memory hierarchy of the machine that the study ran on, by hardware."""
        device = device_from_dict(self.header["device"])
        return {"cpu" if device.kind == "cpu" else "gpu": Hierarchy.of(device)}

    @property
    def remarks(self) -> tuple[str, ...]:
        """What must be said of the study's joules, nothing where they were measured."""
        label, source = self.header["meter"]["label"], self.header["meter"]["source"]
        if label == MEASURED:
            return ()
        told = "joules are estimated, not measured" if label == ESTIMATED else "the quantity is time"
        return (f"{told}: {source}",)


def read_log(folder: Path) -> OwnStudy:
    """Read the log of a folder; a last line cut short, by a kill or a full disk, is left out.

    Raises MeasurementError for a log that cannot be read, is none, or is of another format version.
    """
    path = folder / LOG_NAME
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
    study = OwnStudy(records[0], records[1:])
    try:
        _ = study.levels, study.remarks, study.header["same"].items()
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError):
        raise MeasurementError(
            f"{path} is damaged: its first line does not describe a machine; restore it, or start anew with --fresh"
        ) from None
    return study


class RunLog:
    """A log to append to, by one process at a time; each line is written whole and synced."""

    def __init__(self, folder: Path) -> None:
        """Open the log of a folder, made if need be. Raises MeasurementError where that fails or another has it."""
        self.path = folder / LOG_NAME
        self._lines = JsonLines(self.path)
        for path in (self.path, folder / "lock"):
            if path.is_symlink():
                raise MeasurementError(
                    f"{path} is a symbolic link, which a study does not write to; name another --folder"
                )
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


class Origin(NamedTuple):
    """The memory hierarchy of each hardware that a folder's runs are from, and what must be said of their numbers."""

    levels: Mapping[str, Hierarchy]
    remarks: tuple[str, ...]


def origin_of(folder: Path) -> Origin:
    """What a folder's runs are from; without a log of one's own study, the published nodes."""
    if (folder / LOG_NAME).is_file():
        study = read_log(folder)
        return Origin(study.levels, study.remarks)
    remark = f"the runs in {folder} are generated from the cost model, not measured"
    return Origin(published.hierarchies(), (remark,) if (folder / GENERATED).exists() else ())
