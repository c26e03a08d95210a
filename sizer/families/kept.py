"""Timings of members that are kept: by what a step does and the machine it was timed on, so that none is timed twice.

One file a machine and condition, appended to as timings are taken: an interrupted call goes on where it stopped.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sizer.base.errors import MeasurementError
from sizer.base.storage import JsonLines, data_folder, line, read_objects, write_whole
from sizer.calibration.measurements import Timing, timing_of
from sizer.calibration.validity import identity
from sizer.method.hardware import Device

#: Firmware, kernel and neighbours change within a season.
_MOST_DAYS = 90
#: Lines of a file from which old ones go: a family has some forty, a line 0.4 KiB.
_MOST_LINES = 10_000


class KeptTimings:
    """The timings of one machine, by structure; more are added as they are taken."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found = _read(path)
        self._log = JsonLines(path, _not_written)

    @classmethod
    def of(cls, device: Device, threads: int) -> KeptTimings:
        """Those of a device with so many threads, this torch and this kernel."""
        same = {**identity(device, threads), "kernel": platform.release()}
        name = hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:16]
        return cls(data_folder() / "families" / f"{name}.jsonl")

    def timings(self, structure: str) -> list[Timing]:
        """The timings of a structure, in the order in which they were taken."""
        return self._found.get(structure, [])

    def add(self, structure: str, timing: Timing) -> None:
        """Keep a timing. Raises MeasurementError when it cannot be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _not_written(self.path, error) from None
        date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self._log.append({"structure": structure, "date": date, **timing._asdict()})
        self._found.setdefault(structure, []).append(timing)

    def close(self) -> None:
        """Let go of the file."""
        self._log.close()


def _read(path: Path) -> dict[str, list[Timing]]:
    """The young timings of a file by structure; where it has grown long, it is written anew without the others."""
    try:
        lines = read_objects(path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _not_written(path, error) from None
    young = [each for each in lines if _age_days(each) <= _MOST_DAYS]
    if len(lines) > _MOST_LINES:
        young = young[-_MOST_LINES // 2 :]
        with suppress(OSError):
            write_whole(path, b"".join(map(line, young)))
    found: dict[str, list[Timing]] = {}
    for each in young:
        with suppress(TypeError, KeyError, ValueError, AttributeError, OverflowError):
            timing = timing_of(each)
            found.setdefault(str(each["structure"]), []).append(timing)
    return found


def _age_days(entry: Mapping[str, Any]) -> float:
    try:
        made = datetime.datetime.fromisoformat(entry["date"])
        return (datetime.datetime.now(datetime.timezone.utc) - made).total_seconds() / 86400
    except (KeyError, TypeError, ValueError):
        return float("inf")


def _not_written(path: Path, error: OSError) -> MeasurementError:
    return MeasurementError(
        f"{path} cannot be used ({error.strerror}); free some space, or set XDG_DATA_HOME to a folder that can"
    )
