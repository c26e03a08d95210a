"""What `sizer tune` makes of eight small scripts with known bottlenecks, on a machine that does nothing else.

    python benchmarks/tune.py --into tune.jsonl --scripts loader,optimizer --budget 110 --pairs 1
    python benchmarks/tune.py --into tune.jsonl --records records --again --pairs 8
    python benchmarks/tune.py --into good.jsonl --scripts good,good,good,good,good --budget 50 --pairs 0 --neighbour
    python benchmarks/tune.py --into tune.jsonl --table

Each script is tuned by the command; then fresh pairs of runs of 200 steps (at least 0.5 s, at most 4 s of them),
unchanged and with what is recommended, are held against the promised interval. ``--table`` sums up what is in the file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parent / "tune_scripts"
#: Script -> names of its bottleneck, levers one of which mends it. An empty set: nothing may be recommended.
KNOWN: dict[str, tuple[set[str], set[str]]] = {
    "loader": ({"loader"}, {"data-in-memory", "loader-workers=1", "loader-workers=2"}),
    "worker_threads": ({"worker threads"}, {"worker-threads=1", "threads=1", "data-in-memory", "loader-workers=0"}),
    "allocator": ({"allocator"}, {"malloc-thresholds", "huge-pages"}),
    "dispatch": ({"dispatch"}, {"compile", "threads=1"}),
    "denormals": ({"denormals"}, {"flush-denormals"}),
    "optimizer": ({"optimizer"}, {"fused-optimizer", "foreach-optimizer"}),
    "compile_friendly": ({"memory traffic"}, {"compile"}),
    "good": ({"none"}, set()),
}
#: What a neighbour does: a processor for a while, then nothing for a while.
BUSY = """
import random, time
while True:
    until = time.monotonic() + random.uniform(1, 10)
    while time.monotonic() < until:
        sum(range(10_000))
    time.sleep(random.uniform(1, 10))
"""
#: Steps of a fresh run: so many, more where they would take less than a time in s (a window of 50 ms scatters by a
#: tenth), fewer where they would take longer than another.
STEPS, SHORTEST_S, LONGEST_S = 200, 0.5, 4.0


def tuned(name: str, budget_s: float, folder: Path) -> dict[str, Any]:
    """The record of the command."""
    file = folder / f"{name}.json"
    command = [sys.executable, "-P", "-m", "sizer", "tune", "--quiet", "--budget", f"{budget_s}s"]
    command += ["--save", str(file.absolute())]
    subprocess.run([*command, f"{name}.py"], cwd=SCRIPTS, check=True, stdout=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def fresh_ratio(name: str, record: dict[str, Any], first: str) -> float:
    """The ratio of a fresh pair of runs, with what is recommended over unchanged; ``first`` says which comes first."""
    from sizer.report.pages.saved import record_of
    from sizer.tuning.launching import Launcher, Script
    from sizer.tuning.levers.protocol import Lever
    from sizer.tuning.record import Tuning

    found = record_of(record, name)
    assert isinstance(found, Tuning)
    levers = [
        Lever(*(one.name, one.file, one.changes, one.group, one.results, 0.0), one.settings, one.kept.environment)
        for one in found.chosen()
    ]
    step_s = found.unchanged.time_per_step_s
    wanted = max(STEPS, math.ceil(SHORTEST_S / (step_s * min(found.ratio or 1.0, 1.0))))
    steps = min(wanted, max(math.ceil(LONGEST_S / step_s), 8)) + found.warm_up
    with Launcher(Script(name, str(SCRIPTS / f"{name}.py"), False, (), SCRIPTS), "") as launcher:
        costs = {}
        for which in ("with", "without") if first == "with" else ("without", "with"):
            answer = launcher.run(levers if which == "with" else (), steps, found.warm_up, 120.0).answer
            assert answer is not None
            costs[which] = answer.step_s or math.nan
    return costs["with"] / costs["without"]


def measured(name: str, budget_s: float, pairs: int, folder: Path, again: bool) -> dict[str, Any]:
    """One tuning, or what an earlier one promised, with fresh pairs."""
    record = json.loads((folder / f"{name}.json").read_text()) if again else tuned(name, budget_s, folder)
    ratios = []
    if record["recommended"]:
        ratios = [fresh_ratio(name, record, "with" if number % 2 else "without") for number in range(pairs)]
    named, mends = KNOWN[name]
    right = set(record["recommended"]) & mends if mends else not record["recommended"]
    return {
        "script": name,
        "bottleneck": record["bottleneck"],
        "told": record["bottleneck_told"],
        "named": record["bottleneck"] in named,
        "mended": bool(right),
        "recommended": record["recommended"],
        "ratio": record["ratio"],
        "interval": record["interval"],
        "fresh": ratios,
        "levers": {one["name"]: [one["state"], one["ratio"], one["losses"]] for one in record["levers"]},
        "apart": record["unchanged"]["apart"],
        "step_s": record["unchanged"]["time_per_step_s"],
        "spent_s": record["spent_s"],
        "budget_s": record["budget_s"],
        "runs": record["runs"],
    }


@contextlib.contextmanager
def neighbour(is_there: bool) -> Iterator[None]:
    """A process that is busy half of the time, for one to ten seconds at once."""
    process = subprocess.Popen([sys.executable, "-c", BUSY]) if is_there else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def table(lines: list[dict[str, Any]]) -> None:
    """Print what is known of each script, how well intervals held, and what was recommended where nothing should be."""
    for line in lines:
        if line["script"] == "good":
            continue
        ratio = "-" if line["ratio"] is None else "{:.2f} ({:.2f} to {:.2f})".format(line["ratio"], *line["interval"])
        fresh = ", ".join(f"{one:.2f}" for one in line["fresh"])
        print(
            f"{line['script']:17} {line['bottleneck']:15} named {line['named']!s:5} mended {line['mended']!s:5} {ratio}"
        )
        print(f"{'':17} {', '.join(line['recommended']) or 'nothing'}; fresh: {fresh or '-'}; {line['spent_s']:.0f} s")
    held = [line["interval"][0] <= one <= line["interval"][1] for line in lines for one in line["fresh"]]
    wide = [line["interval"][1] / line["interval"][0] for line in lines if line["interval"]]
    for there in (False, True):
        good = [line for line in lines if line["script"] == "good" and line.get("neighbour", False) is there]
        wrong = [", ".join(line["recommended"]) for line in good if line["recommended"]]
        with_it = "with" if there else "without"
        print(f"good, {with_it} a neighbour: {len(wrong)} of {len(good)} tunings recommend something {wrong or ''}")
    if held:
        print(f"inside: {sum(held)} of {len(held)}; high over low: {statistics.median(wide):.2f} in the median")


def main() -> None:
    """Tune, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--scripts", default=",".join(KNOWN))
    parser.add_argument("--budget", type=float, default=180.0)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--records", type=Path, help="Keep the records of the command in this folder.")
    parser.add_argument("--again", action="store_true", help="More fresh pairs of the records that are kept.")
    parser.add_argument("--neighbour", action="store_true", help="Beside a process that is busy half of the time.")
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    if not asked.table:
        with tempfile.TemporaryDirectory() as temporary:
            folder = asked.records or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            for name in asked.scripts.split(","):
                print(f"tuning {name}", flush=True)
                try:
                    with neighbour(asked.neighbour):
                        line = measured(name, asked.budget, asked.pairs, folder, asked.again)
                except subprocess.CalledProcessError as error:
                    print(f"{name} could not be tuned: exit code {error.returncode}", flush=True)
                    continue
                with asked.into.open("a") as stream:
                    stream.write(json.dumps({**line, "neighbour": asked.neighbour}) + "\n")
    table([json.loads(line) for line in asked.into.read_text().splitlines()])


if __name__ == "__main__":
    main()
