"""The library of timings of this machine: a file that only grows, with the conditions under which each was taken.

One JSON object a line. A line with ``conditions`` says under which those that follow were taken (torch, threads, CPU,
kernel, and when); one with ``timings`` has calls with their times; one with ``steps`` has whole steps of reference
blocks, which tell what lies between operators. What was taken under other conditions is not used.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sizer.base.errors import MeasurementError
from sizer.base.storage import JsonLines, data_folder, line, read_objects, write_whole
from sizer.detection.detect import detected
from sizer.operators.call import Call
from sizer.operators.timing import OperatorTime

OPERATORS_FORMAT = "sizer.operators/1"
#: Older timings are not used: firmware, kernel and neighbours change within a season (as sessions of a calibration).
MOST_DAYS = 90
#: A library that is larger is written anew without what is not used: 120 s of calibration make about 1 MB.
MOST_BYTES = 32 * 2**20
_DAY_S = 86400
#: No number of a line that is not damaged comes near this: seconds, bytes, calls.
_MOST = 1e18


@dataclass
class Library:
    """The timings that hold now, by the key of their call: calls, times in s (the quietest), and whole steps."""

    calls: dict[str, Call] = field(default_factory=dict)
    times: dict[str, OperatorTime] = field(default_factory=dict)
    untimable: set[str] = field(default_factory=set)
    steps: list[dict[str, Any]] = field(default_factory=list)

    def add(self, call: Call, found: OperatorTime | None) -> None:
        """Add a timing; of several of a call the quietest holds. None is that of a call that cannot be made alone."""
        if found is None:
            self.untimable.add(call.key)
            return
        before = self.times.get(call.key, found)
        self.calls.setdefault(call.key, call)
        self.times[call.key] = OperatorTime(min(before.near_s, found.near_s), min(before.far_s, found.far_s))


def library_path() -> Path:
    """Where the timings of this machine's CPU are kept."""
    return data_folder() / "measurements" / "operators-cpu.jsonl"


def conditions(threads: int) -> dict[str, Any]:
    """What timings depend on beside the call."""
    import torch

    return {
        "torch": str(torch.__version__),
        "threads": threads,
        "cpu": detected("cpu").name,
        "kernel": platform.release(),
    }


_read: dict[tuple[Any, ...], Library] = {}


def library_of(threads: int) -> Library | None:
    """The timings that hold for so many threads; None where there are none. Read once while the file is the same."""
    path = library_path()
    try:
        state = path.stat()
    except OSError:
        return None
    key = path, threads, state.st_mtime_ns, state.st_size
    if key not in _read:
        _read.clear()
        _read[key] = read_library(path, conditions(threads))
    return _read[key] if _read[key].times else None


def read_library(path: Path, now: Mapping[str, Any]) -> Library:
    """The timings of a file that were taken under the conditions of ``now`` and are young enough.

    Lines that are cut short or damaged are left out.
    """
    library = Library()
    for record in _holding(path, now):
        for row in _listed(record, "timings"):
            with suppress(*_DAMAGED):
                library.add(*_timed(*row))
        library.steps += [step for step in _listed(record, "steps") if _is_step(step)]
    return library


#: What reading a row that is none raises.
_DAMAGED = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)


def _listed(record: Mapping[str, Any], name: str) -> list[Any]:
    """The rows of a line; none where it lists none."""
    rows = record.get(name)
    return rows if isinstance(rows, list) else []


def _timed(key: str, rest: list[Any], *times: float | None) -> tuple[Call, OperatorTime | None]:
    """A row read back. Raises one of `_DAMAGED` for what is no call or no time."""
    call = Call.from_json(key, rest)
    if not call.key or not call.packet or min(call.bytes_in, call.bytes_out, call.flops) < 0:
        raise ValueError(key)
    if None in times:
        return call, None
    found = OperatorTime(*(float(each) for each in times if each is not None))
    if not all(0 < each < _MOST for each in found):
        raise ValueError(key)
    return call, found


def _is_step(step: Any) -> bool:
    """Whether something is a step of a reference block: its name, and what it is made of, as numbers from 0 on."""
    numbers = [value for name, value in step.items() if name != "block"] if isinstance(step, dict) else [None]
    return all(isinstance(each, int | float) and 0 <= each < _MOST for each in numbers)


def _holding(path: Path, now: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The lines of a file that were taken under some conditions, and are young enough."""
    try:
        records = read_objects(path)
    except OSError:
        return
    holds = False
    for record in records:
        if "conditions" in record:
            made = record.get("unix_s", 0)
            young = isinstance(made, int | float) and made > time.time() - MOST_DAYS * _DAY_S
            known = record.get("format") == OPERATORS_FORMAT
            holds = known and young and record["conditions"] == dict(now)
        elif holds:
            yield record


class Log:
    """The file, open to append to under some conditions. Raises MeasurementError where it cannot be written."""

    def __init__(self, path: Path, now: Mapping[str, Any]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _not_written(path, error) from None
        _shorten(path, now)
        self._lines = JsonLines(path, _not_written)
        self._lines.append({"format": OPERATORS_FORMAT, "conditions": dict(now), "unix_s": time.time()})

    def timings(self, found: Iterable[tuple[Call, OperatorTime | None]]) -> None:
        """Keep timings, in one line."""
        rows = [[call.key, call.to_json(), *(times or (None, None))] for call, times in found]
        if rows:
            self._lines.append({"timings": rows})

    def steps(self, found: list[dict[str, Any]]) -> None:
        """Keep whole steps."""
        self._lines.append({"steps": found})

    def close(self) -> None:
        """Let go of the file."""
        self._lines.close()


def _shorten(path: Path, now: Mapping[str, Any]) -> None:
    """Write a library that has grown too large anew, with the quietest of what holds now."""
    with suppress(OSError):
        if path.stat().st_size <= MOST_BYTES:
            return
        kept = read_library(path, now)
        header = {"format": OPERATORS_FORMAT, "conditions": dict(now), "unix_s": time.time()}
        rows = [[key, kept.calls[key].to_json(), *times] for key, times in kept.times.items()]
        write_whole(path, b"".join(line(each) for each in (header, {"timings": rows}, {"steps": kept.steps})))


def _not_written(path: Path, error: OSError) -> MeasurementError:
    return MeasurementError(
        f"{path} cannot be written ({error.strerror or error}); free some space, or set XDG_DATA_HOME to a folder that "
        f"can"
    )
