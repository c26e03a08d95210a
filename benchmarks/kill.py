"""Kill `sizer calibrate` (SIGKILL) at random moments: the file must be readable each time, and the rerun must go on.

    python benchmarks/kill.py [--times 50] [--seed 0] [--budget 15]

Each row is one kill: how long after the process had written its first line (or, one time in five, after it started),
the timings in the file before the process started and after it was killed. A kill is a failure when the file cannot be
read, or when a timing that was there before is gone or changed (unless the calibration was done in the meantime and a
new one began). In the end one run is left alone; it must finish and keep a profile.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sizer.base.errors import MeasurementError
from sizer.calibration.measurements import Measurements, read_measurements

#: A calibration with few networks: what is tested is the file, not the fit.
_COMMAND = (
    "from sizer.calibration import calibration; calibration.MIN_NETWORKS = 12; "
    "import sys; from sizer.cli import run; "
    "sys.exit(run(['calibrate', '--meter', 'none', '--quiet', '--budget', sys.argv[1]]))"
)
#: Longest time from a process's first line, or from its start, to its end.
_LONGEST_S = 4.0
_EARLY = 0.2
_POLL_S = 0.02


class Outcome(NamedTuple):
    """A kill: after how long, since when, the timings before and after, whether the run had ended by itself."""

    after_s: float
    since: str
    timings_before: int
    timings_after: int
    ended: bool
    problem: str | None


def kill_often(times: int, seed: int, folder: Path, budget: str = "15s") -> Iterator[Outcome]:
    """Start a calibration in a data folder so many times, and kill each at a random moment."""
    path = folder / "data" / "sizer" / "measurements" / "cpu.jsonl"
    environment = {**os.environ, "XDG_DATA_HOME": str(folder / "data"), "XDG_CACHE_HOME": str(folder / "cache")}
    moments = random.Random(seed)  # noqa: S311 (moments, no secrets)
    before = None
    for _ in range(times):
        after_s, early = moments.uniform(0.0, _LONGEST_S), moments.random() < _EARLY
        written = _stamp(path)
        process = subprocess.Popen([sys.executable, "-c", _COMMAND, budget], env=environment, stdout=subprocess.DEVNULL)
        while not early and process.poll() is None and _stamp(path) == written:
            time.sleep(_POLL_S)
        ended = _ended_by_itself(process, after_s)
        found, problem = _read(path)
        problem = problem or _lost(before, found) or (ended and process.returncode and f"exit {process.returncode}")
        since = "start" if early else "first line"
        yield Outcome(after_s, since, _count(before), _count(found), ended, problem or None)
        before = found


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when the file is written to."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size


def _ended_by_itself(process: subprocess.Popen[bytes], after_s: float) -> bool:
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return False
    return True


def _read(path: Path) -> tuple[Measurements | None, str | None]:
    """The file, if there is one, and why it cannot be read."""
    if not path.exists():
        return None, None
    try:
        return read_measurements(path), None
    except MeasurementError as error:
        return None, str(error)


def _lost(before: Measurements | None, after: Measurements | None) -> str | None:
    if before is None or before.finished:
        return None  # nothing to lose, or the next calibration began anew
    if after is None:
        return "the file is gone"
    kept = after.timings[: len(before.timings)] == before.timings and after.plan == before.plan
    return None if kept else "timings are gone or changed"


def _count(found: Measurements | None) -> int:
    return 0 if found is None else len(found.timings)


def main() -> int:
    """Kill, print the table, finish one run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", default="15s")
    given = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        print(f"{'kill':>4} {'after':>7} {'since':<10} {'before':>7} {'timings':>7}  outcome")
        failures = 0
        for number, one in enumerate(kill_often(given.times, given.seed, Path(name), given.budget), start=1):
            outcome = one.problem or ("ended by itself" if one.ended else "readable, goes on")
            failures += one.problem is not None
            counts = f"{one.timings_before:>7} {one.timings_after:>7}"
            print(f"{number:>4} {one.after_s:>5.2f} s {one.since:<10} {counts}  {outcome}", flush=True)
        last = _finish(Path(name), given.budget)
    failures += last is not None
    print(f"{failures} failures of {given.times} kills and a last run, {time.perf_counter() - began:.0f} s")
    return int(failures > 0)


def _finish(folder: Path, budget: str) -> str | None:
    """Let the last run end: what went wrong, if anything did."""
    environment = {**os.environ, "XDG_DATA_HOME": str(folder / "data"), "XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND, budget], env=environment, capture_output=True, text=True, check=False
    )
    profile = folder / "data" / "sizer" / "profiles" / "calibrated-cpu.json"
    return None if done.returncode == 0 and profile.exists() else done.stderr.strip() or "no profile"


if __name__ == "__main__":
    raise SystemExit(main())
