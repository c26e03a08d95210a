"""How good a calibration is beside a neighbour: two threads of products, or a memory streamer, on and off.

    python benchmarks/busy.py [--budget 60] [--networks 100] [--times 1] [--neighbour products,stream] [--only NAME,...]

Truth is timed before and after each case without the neighbour; a case counts as quiet when both agree within 1.5 %
in the mean. Cases: none; 6 s on and 4 s off throughout; on for the first half; on throughout; and disturbed, quiet,
disturbed again, whose sessions add up. Each case calibrates in a folder of its own. Every row is printed as it is
known.

Targets: on and off, or for the first half: errors at most 1.3 times the quiet ones; throughout: that, or the line
that says so, with its "% high" at least the true bias and at most twice it, and a coverage of at least 86 %;
disturbed again: mean error at most 1.05 times that after the second session.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import truth as truths

from sizer.calibration.calibration import calibrate
from sizer.calibration.record import Calibration
from sizer.calibration.session import Settings
from sizer.detection.detect import detected

_WORK = {
    "products": "import torch; torch.set_num_threads(2); a = torch.ones(512, 512); work = lambda: a @ a",
    "stream": "import numpy; a = numpy.ones(2**25); b = numpy.empty_like(a); work = lambda: numpy.copyto(b, a)",
}
#: Works for so long, rests for so long, and so on, and rests for good after so long.
_LOOP = """
import sys, time
on, off, until = map(float, sys.argv[1:])
print("ready", flush=True)
began = time.monotonic()
while time.monotonic() - began < until:
    working = time.monotonic()
    while time.monotonic() - working < on and time.monotonic() - began < until:
        work()
    time.sleep(off)
time.sleep(1e6)
"""


class Schedule(NamedTuple):
    """When a neighbour works: for ``on_s``, then not for ``off_s``, until ``until_share`` of the budget has passed."""

    on_s: float
    off_s: float
    until_share: float


SCHEDULES = {
    "6 s on, 4 s off": Schedule(6, 4, 10),
    "on for the first half": Schedule(1e6, 0, 0.5),
    "on throughout": Schedule(1e6, 0, 10),
}


@contextmanager
def neighbour(kind: str, schedule: Schedule, budget_s: float) -> Iterator[None]:
    """Another process that works by a schedule, and is ended at the end."""
    arguments = [str(schedule.on_s), str(schedule.off_s), str(schedule.until_share * budget_s)]
    command = [sys.executable, "-c", f"{_WORK[kind]}\n{_LOOP}", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None  # (it is a pipe)
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.wait()


class Bench:
    """Calibrations beside neighbours, against the truth before and after."""

    def __init__(self, settings: Settings, networks: int) -> None:
        self._settings, self._cases = settings, truths.networks(networks)
        self._before = truths.timed(self._cases)

    def report(self, name: str, *records: Calibration) -> None:
        """Time the truth again and print a row for each record."""
        after = truths.timed(self._cases)
        truth = truths.Truth(self._cases, self._before, after)
        state = "quiet" if truth.quiet else f"not quiet, {100 * truth.difference:.1f} %"
        for index, record in enumerate(records):
            score = truths.score(record, truth, self._settings)
            print(score.row(f"{name}{f' ({index + 1})' if len(records) > 1 else ''} [{state}]"), flush=True)
            print(f"    {record.quiet_line}; true bias {100 * (score.bias - 1):+.0f} %", flush=True)
        self._before = after

    def quiet(self) -> Calibration:
        """A calibration without a neighbour."""
        return calibrate(self._settings, fresh=True)

    def beside(self, kind: str, schedule: Schedule) -> Calibration:
        """A calibration beside a neighbour."""
        with neighbour(kind, schedule, self._settings.budget_s):
            return calibrate(self._settings, fresh=True)


@contextmanager
def own_folder() -> Iterator[None]:
    """A data folder for one case, so that no session of another adds up with its own."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = folder
        yield


def run(bench: Bench, kinds: list[str], only: list[str]) -> None:
    """Every case once."""

    def wanted(name: str) -> bool:
        return not only or any(part in name for part in only)

    if wanted("no neighbour"):
        with own_folder():
            bench.report("no neighbour", bench.quiet())
    for kind in kinds:
        for name, schedule in SCHEDULES.items():
            if wanted(f"{kind} {name}"):
                with own_folder():
                    bench.report(f"{kind} {name}", bench.beside(kind, schedule))
        if wanted(f"{kind} disturbed, quiet, disturbed"):
            with own_folder():
                busy = SCHEDULES["on throughout"]
                records = [bench.beside(kind, busy), bench.quiet(), bench.beside(kind, busy)]
                bench.report(f"{kind} disturbed, quiet, disturbed", *records)


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=60.0, help="of a calibration, in s")
    parser.add_argument("--networks", type=int, default=100, help="of the truth")
    parser.add_argument("--times", type=int, default=1, help="how often each case is run")
    parser.add_argument("--neighbour", default="products,stream", help="products, stream or both")
    parser.add_argument("--only", default="", help="parts of names of cases")
    arguments = parser.parse_args()
    bench = Bench(Settings(budget_s=arguments.budget, meter="none"), arguments.networks)
    print(f"{detected('cpu').name}\n{truths.HEADER}", flush=True)
    for _ in range(arguments.times):
        run(bench, arguments.neighbour.split(","), [part for part in arguments.only.split(",") if part])


if __name__ == "__main__":
    main()
