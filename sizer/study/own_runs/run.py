"""The same study on one's own machine: a designed grid of networks, trained under the meter, resumable."""

from __future__ import annotations

import math
import platform
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sizer._version import __version__
from sizer.base.errors import UsageError
from sizer.calibration.cache_probe import sweep_accesses, with_effective_capacity
from sizer.calibration.session import using_threads
from sizer.detection.detect import detected
from sizer.meters.choosing import MeterOptions, choose_meter
from sizer.meters.protocol import Meter
from sizer.method.hardware import Device, device_to_dict
from sizer.models.topology import num_free_parameters
from sizer.study.own_runs import plan as planning
from sizer.study.own_runs import training
from sizer.study.own_runs.files import write_files
from sizer.study.own_runs.log import LOG_FORMAT, OwnStudy, RunLog, read_log
from sizer.study.own_runs.plan import KEY, PlannedRun
from sizer.study.own_runs.training import DataSet, Settings, Trained, train
from sizer.study.step import Advance, Rule, StudyStep, unseen

#: A run during which others used more of the machine than this is counted as disturbed.
DISTURBED = 0.10
#: No run gets less than this share, or more than so many times, of what the plan allots to each.
_ALLOTTED = (0.2, 4.0)


@dataclass(frozen=True)
class Request:
    """What a study of one's own is of; empty lists leave the choice to the plan.

    ``budget_s`` is the time for trainings in s, over all sittings; ``sizes`` the log2 of the smallest and the largest
    size; ``meter`` a meter's name or ``auto``, ``watts`` a stated (busy, idle) power for the power model.
    """

    folder: Path
    budget_s: float
    datasets: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()
    depths: tuple[int, ...] = ()
    sizes: tuple[int, int] = planning.SIZES
    threads: int | None = None
    meter: str = "auto"
    watts: tuple[float | None, float | None] = (None, None)
    training: Settings = field(default_factory=Settings)
    seed: int = 0


def run_study(request: Request, fresh: bool = False, progress: Advance = unseen) -> StudyStep:
    """Train what the budget pays for, and write it in the published schema.

    Every run is logged as it ends: after an interruption the same call goes on where it stopped, and a larger budget
    extends the study. Interrupted by the keyboard, the files are written before the exception goes on. Raises
    UsageError for a request that cannot work, MeasurementError for a folder that cannot be written.
    """
    datasets = {name: training.load(name) for name in request.datasets or training.default_names()}
    dimensions = {name: (data.input_dim, data.output_dim) for name, data in datasets.items()}
    plan = planning.design(request.budget_s, dimensions, request.shapes, request.depths, request.sizes, request.seed)
    options = MeterOptions(busy_w=request.watts[0], idle_w=request.watts[1])
    meter = choose_meter(request.meter, request.training.device, options)
    log = RunLog(request.folder)
    try:
        with using_threads(request.threads):
            _open(log, request, meter, fresh, progress)
            try:
                _measure(log, request, plan, datasets, meter, progress)
            finally:
                files = write_files(read_log(request.folder), request.folder)
    finally:
        log.close()
        meter.close()
    return _step(read_log(request.folder), len(plan), files)


def _open(log: RunLog, request: Request, meter: Meter, fresh: bool, progress: Advance) -> None:
    """Start the log, or check that the one there is of the same machine and settings. Raises UsageError if not."""
    device = detected(request.training.device)
    same = _same(request, device, meter)
    if fresh:
        log.clear()
    if not log.is_empty():
        there = read_log(request.folder).header["same"]
        if differing := [name for name in same if there.get(name) != same[name]]:
            raise UsageError(
                f"{log.path} is of another {', '.join(differing)}; name another --folder, or start anew with --fresh"
            )
        return
    progress("probing the caches", 0.0)
    if device.kind == "cpu":
        device = with_effective_capacity(device, sweep_accesses())
    header = {
        "format": LOG_FORMAT,
        "same": same,
        "settings": vars(request.training),
        "device": device_to_dict(device),
        "host": platform.node() or "this-machine",
        "meter": {"name": meter.name, "label": meter.label, "source": meter.source},
    }
    log.append(header)


def _same(request: Request, device: Device, meter: Meter) -> dict[str, Any]:
    """What must not change within a study."""
    return {
        "machine": [device.name, device.units],
        "number of threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "meter": meter.name,
        "training": vars(request.training),
        "sizer": __version__,
    }


def _measure(
    log: RunLog,
    request: Request,
    plan: list[PlannedRun],
    datasets: Mapping[str, DataSet],
    meter: Meter,
    progress: Advance,
) -> None:
    """Train what is left of the plan in what is left of the budget, which is shared out among the runs to come."""
    done = read_log(request.folder).runs
    keys = {tuple(run[name] for name in KEY) for run in done}
    left = [run for run in plan if run.key not in keys]
    spent_s = math.fsum(run["wall_s"] for run in done)
    began = time.monotonic()
    low, high = (factor * planning.RUN_S for factor in _ALLOTTED)
    for number, run in enumerate(left):
        remaining_s = request.budget_s - spent_s - (time.monotonic() - began)
        if remaining_s <= 0:
            return
        seconds = min(max(remaining_s / (len(left) - number), low), high)
        progress(f"{run.dataset} {run.shape} depth {run.depth} size {run.size:,}", 1 - remaining_s / request.budget_s)
        started, data = time.time(), datasets[run.dataset]
        log.append(_record(run, data, started, train(run, data, request.training, meter, seconds)))


def _record(run: PlannedRun, data: DataSet, started: float, trained: Trained) -> dict[str, Any]:
    """A line of the log. Losses keep six digits; one that is not finite is null."""
    return {
        "run_id": str(uuid.uuid4()),
        **run._asdict(),
        "num_free_parameters": num_free_parameters(data.input_dim, run.widths),
        "task": data.task,
        "n_observations": data.rows,
        "input_dim": data.input_dim,
        "output_dim": data.output_dim,
        "start_unix_s": started,
        **trained._asdict(),
        "test_losses": [float(f"{loss:.6g}") if math.isfinite(loss) else None for loss in trained.test_losses],
    }


def _step(study: OwnStudy, planned: int, files: list[str]) -> StudyStep:
    """What was trained, for people."""
    disturbed = sum((run["disturbed"] or 0.0) > DISTURBED for run in study.runs)
    meaning = (
        f"others used more than {DISTURBED:.0%} of the machine meanwhile; kept, the quiet time of its epochs counts"
    )
    numbers = {
        "planned": planned,
        "experiments": len({tuple(run[name] for name in KEY[:-1]) for run in study.runs}),
        "epochs": sum(run["epochs"] for run in study.runs),
        "training_time_s": math.fsum(run["wall_s"] for run in study.runs),
        "energy": study.header["meter"]["label"],
    }
    rules = (Rule("disturbed", meaning, disturbed),)
    title = f"one's own study on {study.header['device']['name'] or study.header['host']}"
    return StudyStep("run", title, None, len(study.runs), rules, numbers, (), tuple(files), study.remarks)
