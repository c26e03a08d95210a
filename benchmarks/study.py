"""Forty thousand runs with one-minute power samples through `sizer study energy` and `isoloss`, a process each.

    python benchmarks/study.py [--runs 40000] [--folder FOLDER]

Target for energy: under 60 s and 2 GiB on two cores. The files are generated first (into FOLDER, to be kept and
used again, or into a temporary one); that is not part of the figure.
"""

from __future__ import annotations

import argparse
import json
import os
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
            # In a process of its own: a child starts with its parent's peak memory, which would be counted as its own.
            before = time.perf_counter()
            generate = [*_SIZER, "generate", "--quiet", "--runs", str(options.runs), str(folder)]
            subprocess.run(generate, capture_output=True, check=True)
            print(f"generated        {time.perf_counter() - before:8.1f} s")
        for name in ("energy", "isoloss"):
            _time_step(name, folder, Path(temporary))


def _time_step(name: str, folder: Path, out: Path) -> None:
    """Run a step and print its time, its own peak memory and its rows."""
    before = time.perf_counter()
    with (out / "step.json").open("w+", encoding="utf-8") as record:
        command = [*_SIZER, name, "--quiet", "--json", str(folder), "--out", str(out)]
        process = subprocess.Popen(command, stdout=record, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)  # of this process alone
        seconds = time.perf_counter() - before
        if status:
            raise SystemExit(f"sizer study {name} failed")
        record.seek(0)
        step = json.load(record)
    samples = step["numbers"].get("power_samples")
    told = "" if samples is None else f" with {samples:,} power samples"
    print(f"{name:16} {seconds:8.1f} s for {step['rows_in']:,} runs{told}")
    print(f"{'':16} {used.ru_utime + used.ru_stime:8.1f} s of processor time, {used.ru_maxrss / 2**20:.2f} GiB peak")
    print(f"{'':16} {step['rows_out']:8,} rows")


if __name__ == "__main__":
    main()
