"""How long `sizer recommend` takes from a cold process, beside the bare imports it cannot do without.

    python benchmarks/startup.py

Target: at most 1.6 times the wall time of importing numpy, click and rich's console and table, median of 9,
interleaved in one run, the machine detected once before.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

RUNS = 9
BASELINE = [sys.executable, "-c", "import numpy, click, rich.console, rich.table"]
SIZER = [str(Path(sysconfig.get_path("scripts")) / "sizer"), "recommend", "--input-dim", "784", "--depth", "6"]


def wall_s(command: list[str]) -> float:
    """Wall time of one process."""
    before = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - before


def main() -> None:
    """Time both in turn and print medians and their ratio."""
    os.chdir("/")  # a checkout in the working directory would be imported instead of what is installed
    for command in (BASELINE, SIZER):
        wall_s(command)
    pairs = [(wall_s(BASELINE), wall_s(SIZER)) for _ in range(RUNS)]
    baseline, sizer = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"imports of numpy, click, rich   {baseline * 1e3:7.1f} ms")
    print(f"sizer recommend                 {sizer * 1e3:7.1f} ms")
    print(f"ratio of medians                {sizer / baseline:7.2f}   (target: at most 1.6)")
    print(f"median of ratios                {statistics.median(s / b for b, s in pairs):7.2f}")


if __name__ == "__main__":
    main()
