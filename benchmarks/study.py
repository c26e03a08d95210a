"""Forty thousand runs with one-minute power samples through `sizer study energy`, in a process of its own.

    python benchmarks/study.py [--runs 40000] [--folder FOLDER]

Target: under 60 s and 2 GiB on two cores. The files are generated first (into FOLDER, where they are kept and used
again, or into a temporary one); that takes a minute and is not part of the figure.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_SIZER = [sys.executable, "-c", "from sizer.cli import main; main()", "study"]


def main() -> None:
    """Generate where needed, run the step, print time, peak memory and rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=40_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / "butter_e_energy.zip").exists():
            # In a process of its own: a child starts with its parent's peak memory, which would be counted below.
            before = time.perf_counter()
            generate = [*_SIZER, "generate", "--quiet", "--runs", str(options.runs), str(folder)]
            subprocess.run(generate, capture_output=True, check=True)
            print(f"generated        {time.perf_counter() - before:8.1f} s")
        earlier = resource.getrusage(resource.RUSAGE_CHILDREN)
        before = time.perf_counter()
        command = [*_SIZER, "energy", "--quiet", "--json", str(folder), "--out", temporary]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - before
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        busy = used.ru_utime + used.ru_stime - earlier.ru_utime - earlier.ru_stime
        step = json.loads(done.stdout)
        samples = step["numbers"]["power_samples"]
        print(f"energy           {seconds:8.1f} s for {step['rows_in']:,} runs with {samples:,} power samples")
        print(f"                 {busy:8.1f} s of processor time, {used.ru_maxrss / 2**20:.2f} GiB peak")
        print(f"                 {step['rows_out']:8,} runs with their energy")


if __name__ == "__main__":
    main()
