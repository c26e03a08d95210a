"""`sizer run --with` against the same levers set by hand, in pairs that change their order.

    python benchmarks/tune.py --into tune.jsonl --records records
    python benchmarks/tune_by_hand.py --records records --pairs 6

Both run the same script, which says itself how long its steps took and ends.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scipy.special import stdtrit

from sizer.tuning.tuning import sha256

SCRIPTS = Path(__file__).parent / "tune_scripts"
#: Longest timed part of a run in s, and steps that are not timed: the report of `sizer run` comes within them.
LONGEST_S, WARM_UP = 3.0, 20
#: Put in front of a script: it prints what a step took, and ends.
TIMED = """
import sys, time
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
_ends = []
def _stepped(*_):
    _ends.append(time.perf_counter())
    if len(_ends) == {steps}:
        print((_ends[-1] - _ends[{warm_up} - 1]) / ({steps} - {warm_up}))
        sys.stdout.flush()
        sys.exit(0)
register_optimizer_step_post_hook(_stepped)
"""
Edit = Callable[[str], str]


def _before_seed(line: str) -> Edit:
    return lambda text: text.replace("torch.manual_seed(0)", f"{line}\ntorch.manual_seed(0)", 1)


def _in_memory(text: str) -> str:
    held = "x_all, y_all = torch.utils.data.default_collate([loader.dataset[row] for row in range(8192)])\n"
    text = text.replace("for _ in range(200):", held + "for _ in range(200):")
    return text.replace(
        "for x, y in loader:",
        "for rows in torch.randperm(8192).split(128):\n        x, y = x_all[rows], y_all[rows]",
    )


#: (Script, lever) -> how its owner would keep it by an edit; levers of environment need none.
BY_HAND: dict[tuple[str, str], Edit] = {
    ("optimizer", "fused-optimizer"): lambda text: text.replace("lr=1e-4)", "lr=1e-4, fused=True)"),
    ("optimizer", "foreach-optimizer"): lambda text: text.replace("lr=1e-4)", "lr=1e-4, foreach=True)"),
    ("denormals", "flush-denormals"): _before_seed("torch.set_flush_denormal(True)"),
    ("loader", "data-in-memory"): _in_memory,
    ("worker_threads", "worker-threads=1"): lambda text: text.replace("max(os.cpu_count() or 1, 2)", "1"),
    ("dispatch", "compile"): lambda text: text.replace("optimizer = ", "model.compile()\noptimizer = ", 1),
    ("compile_friendly", "compile"): lambda text: text.replace("optimizer = ", "model.compile()\noptimizer = ", 1),
}


def step_s(command: list[str], script: Path, environment: dict[str, str]) -> float:
    """What a step of a timed script takes, in s."""
    done = subprocess.run(
        [sys.executable, "-P", *command, str(script)],
        cwd=script.parent,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def ratios(name: str, record: dict[str, Any], pairs: int, folder: Path) -> list[float] | None:
    """Cost with `sizer run --with` over that by hand, of each pair; None where a lever is not known by hand here."""
    steps = max(min(200, math.ceil(LONGEST_S / record["unchanged"]["time_per_step_s"] / (record["ratio"] or 1))), 8)
    text = TIMED.format(steps=steps + WARM_UP, warm_up=WARM_UP) + (SCRIPTS / f"{name}.py").read_text()
    own, edited = folder / f"{name}.py", folder / f"{name}_by_hand.py"
    own.write_text(text)
    chosen = [one for one in record["levers"] if one["name"] in record["recommended"]]
    for lever in chosen:
        edit = BY_HAND.get((name, lever["name"]), None if not lever["kept"]["environment"] else str)
        if edit is None:
            return None
        text = edit(text)
    edited.write_text(text)
    tuned = folder / f"{name}.json"
    tuned.write_text(json.dumps({**record, "where": {**record["where"], "sha256": sha256(own)}}))
    found = []
    for number in range(pairs):
        costs = {}
        for which in ("with", "hand") if number % 2 else ("hand", "with"):
            if which == "with":
                costs[which] = step_s(["-m", "sizer", "run", "--quiet", "--with", str(tuned)], own, {})
            else:
                costs[which] = step_s([], edited, record["environment"])
        found.append(costs["with"] / costs["hand"])
    return found


def main() -> None:
    """Compare each record that recommends something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--scripts", default="")
    asked = parser.parse_args()
    for file in sorted(asked.records.glob("*.json")):
        record = json.loads(file.read_text())
        if not record["recommended"] or (asked.scripts and file.stem not in asked.scripts.split(",")):
            continue
        with tempfile.TemporaryDirectory() as folder:
            found = ratios(file.stem, record, asked.pairs, Path(folder))
        named = ", ".join(record["recommended"])
        if found is None:
            print(f"{file.stem:17} {named}: not known by hand here")
            continue
        logs = [math.log(one) for one in found]
        reach = float(stdtrit(len(logs) - 1, 0.975)) * statistics.stdev(logs) / math.sqrt(len(logs))
        low, high = (math.exp(statistics.mean(logs) + sign * reach) for sign in (-1, 1))
        middle = math.exp(statistics.mean(logs))
        print(f"{file.stem:17} {named}: {middle:.3f} ({low:.3f} to {high:.3f}, 95 % of the mean) times by hand")


if __name__ == "__main__":
    main()
