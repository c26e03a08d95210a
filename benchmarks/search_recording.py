"""Records learning curves: every task, size and seed trained once, so that searches can be replayed without training.

    python benchmarks/search.py --record FOLDER --seconds 120
    python benchmarks/search.py --time FOLDER
    python benchmarks/search.py --pack FOLDER

The first goes on where it stopped, one file a training, until the time is over; the second times epochs of all sizes in
turn; the third puts both into benchmarks/data.
"""

from __future__ import annotations

import gzip
import json
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from search_tasks import HELD_OUT, TASKS, load

DEPTH = 4
SIZES = tuple(2**k for k in range(7, 21))
#: Between the default of 256 and 64: some thirty steps an epoch on a task of 4,000 rows, so that cost is resolved to a
#: thirtieth of an epoch's worth of progress and large networks still use the vector units well.
BATCH_SIZE = 128
LEARNING_RATE = 1e-3
MAX_EPOCHS = 150
#: A training is over after so many epochs without a better validation loss.
PATIENCE = 25


class Job(NamedTuple):
    """One training to record."""

    task: str
    seed: int
    size: int

    @property
    def path(self) -> str:
        """Name of the file that it is kept in."""
        return f"{self.task}-{self.seed}-{self.size}.json"


def jobs() -> list[Job]:
    """All trainings: two seeds of every task, the held-out tasks, and a third seed that no constant was fitted to."""
    wanted = [(TASKS, 0), (TASKS, 1), (HELD_OUT, 0), (TASKS, 2)]
    return [Job(task, seed, size) for tasks, seed in wanted for task in tasks for size in reversed(SIZES)]


def record(folder: Path, seconds: float, workers: int = 2) -> int:
    """Train what is not there yet until the time is over; how many are left."""
    folder.mkdir(parents=True, exist_ok=True)
    left = [job for job in jobs() if not (folder / job.path).exists()]
    deadline = time.time() + seconds
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        done = sum(pool.map(_record_one, left, [folder] * len(left), [deadline] * len(left)))
    return len(left) - done


def _record_one(job: Job, folder: Path, deadline: float) -> bool:
    """Train one network unless the time is over."""
    if time.time() > deadline:
        return False
    from sizer.base.errors import UnreachableError
    from sizer.base.storage import write_whole

    try:
        curve = _train(job)
    except UnreachableError as error:  # too few parameters for the task's inputs
        curve = {"refused": str(error)}
    write_whole(folder / job.path, json.dumps({**job._asdict(), **curve}))
    print(job.path, curve.get("num_free_parameters"), len(curve.get("validation_loss", [])), flush=True)
    return True


def _train(job: Job) -> dict[str, Any]:
    from sizer.models.topology import Topology
    from sizer.size_search.trials.trial import SliceSpec, run_slice

    task = load(job.task)
    topology = Topology.solve("rectangle", job.size, DEPTH, task.input_dim, task.output_dim)
    spec = SliceSpec("recorded", topology, BATCH_SIZE, "adam", LEARNING_RATE, job.seed, "cpu", 1, epochs=5)
    epochs: list[Any] = []
    while len(epochs) < MAX_EPOCHS and not _stalled([epoch.validation_loss for epoch in epochs]):
        trained = run_slice(task, spec)
        epochs += trained.epochs
        if trained.state is None:
            break
        spec = replace(spec, checkpoint=trained.state)
    return {
        "widths": list(topology.widths),
        "num_free_parameters": topology.num_free_parameters,
        "baseline_loss": task.baseline_loss,
        "train_loss": [epoch.train_loss for epoch in epochs],
        "validation_loss": [epoch.validation_loss for epoch in epochs],
        "quiet_s": [epoch.quiet_s for epoch in epochs],
        "time_s": [epoch.time_s for epoch in epochs],
    }


def _stalled(losses: list[float]) -> bool:
    return len(losses) > PATIENCE and min(losses[:-PATIENCE]) <= min(losses[-PATIENCE:])


def time_epochs(folder: Path, rounds: int = 4) -> None:
    """Quiet time of an epoch of every task and size: sizes in turn, the least of several rounds."""
    from sizer.base.storage import write_whole

    topologies = {(job.task, job.size): _topology(job) for job in jobs()}
    times: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for (task, size), topology in topologies.items():
            if topology is not None:
                quiet_s = _time_epoch(task, topology)
                before = times.setdefault(task, {}).get(str(size), quiet_s)
                times[task][str(size)] = min(before, quiet_s)
        write_whole(folder / "times.json", json.dumps(times))


def _topology(job: Job) -> Any:
    from sizer.base.errors import UnreachableError
    from sizer.models.topology import Topology

    task = load(job.task)
    try:
        return Topology.solve("rectangle", job.size, DEPTH, task.input_dim, task.output_dim)
    except UnreachableError:
        return None


def _time_epoch(task: str, topology: Any) -> float:
    from sizer.size_search.trials.trial import SliceSpec, run_slice

    spec = SliceSpec("timed", topology, BATCH_SIZE, "adam", LEARNING_RATE, 0, "cpu", 1, epochs=2)
    return min(epoch.quiet_s for epoch in run_slice(load(task), spec).epochs)


def pack(folder: Path, into: Path) -> None:
    """Put the recorded curves of every task with all of its seeds into one compressed file."""
    from sizer.base.storage import write_whole

    times = json.loads((folder / "times.json").read_text())
    tasks: dict[str, Any] = {}
    for name in (*TASKS, *HELD_OUT):
        seeds = [_trainings(folder, name, seed) for seed in sorted({job.seed for job in jobs() if job.task == name})]
        task = load(name)
        tasks[name] = {
            "input_dim": task.input_dim,
            "output_dim": task.output_dim,
            "train_rows": task.n_observations,
            "validation_rows": len(task.validation_targets),
            "baseline_loss": task.baseline_loss,
            "epoch_cost_s": times[name],
            "seeds": [trainings for trainings in seeds if trainings],
        }
    record = {"depth": DEPTH, "batch_size": BATCH_SIZE, "learning_rate": LEARNING_RATE, "tasks": tasks}
    write_whole(into, gzip.compress(json.dumps(record).encode(), mtime=0))


def _trainings(folder: Path, name: str, seed: int) -> list[dict[str, Any]]:
    """The trainings of one seed in order of size, empty while one is missing."""
    wanted = [job for job in jobs() if job.task == name and job.seed == seed]
    if not all((folder / job.path).exists() for job in wanted):
        return []
    read = [json.loads((folder / job.path).read_text()) for job in sorted(wanted, key=lambda job: job.size)]
    return [
        {
            "size": record["size"],
            "widths": record["widths"],
            "validation_loss": [float(f"{loss:.5g}") for loss in record["validation_loss"]],
        }
        for record in read
        if "refused" not in record
    ]
