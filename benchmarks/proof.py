"""What people do without sizer, beside `sizer search`, to the same validation loss: wall clock from process start.

    python benchmarks/proof.py --minutes 60 --threads 1    # goes on where it stopped (--into FILE): run it in slices
    python benchmarks/proof.py --minutes 0 --cpu           # the table so far, in processor time

Six data sets from packages. Targets are fixed beforehand: 1.0 and 1.1 times the best validation loss of three default
networks (scikit-learn's, and 256-256-256 in PyTorch at 1e-3 and at 4e-3), trained until 25 epochs bring nothing. Then
each contender trains, in a process of its own on the same threads and rows, until it meets the target or its time is
over. Every one has its turn before the next target, so that what else the machine does harms all alike, and processor
time is kept beside wall clock. Contenders that train one network are held against all validation rows after each epoch;
sizer chooses on one half of them and has to meet the target on both.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

TASKS = ("optdigits", "satimage", "magic", "friedman1", "diamonds", "housing")
LEVELS = (1.0, 1.1)
SEEDS = (0, 1, 2)
WIDTHS, BATCH_SIZE, PATIENCE, MOST_EPOCHS = (256, 256, 256), 256, 25, 300
#: One contender has so long for one target; Optuna has so many trials.
SECONDS, TRIALS = 120.0, 20

Data = dict[str, np.ndarray]


def write_data(name: str, folder: Path) -> Path:
    """A task's training and validation rows as a file that every contender reads."""
    from curve_tasks import load

    task = load(name)
    rows = sum(task.counts[:2])
    path = folder / f"{name}.npz"
    parts = {"x": task.features, "y": task.targets, "x_val": task.looked_at[:rows]}
    np.savez(path, **parts, y_val=task.looked_at_targets[:rows], outputs=task.output_dim)
    return path


def read_data(path: Path) -> Data:
    """The arrays of `write_data`."""
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def is_regression(data: Data) -> bool:
    """Whether the targets are numbers."""
    return data["y"].dtype.kind == "f"


def torch_losses(data: Data, widths: tuple[int, ...], rate: float, seed: int) -> Iterator[float]:
    """Validation losses of a plain PyTorch training, one an epoch."""
    import torch
    import torch.nn.functional as F  # noqa: N812

    torch.manual_seed(seed)
    tensors = {name: torch.from_numpy(data[name]) for name in ("x", "y", "x_val", "y_val")}
    full = [tensors["x"].shape[1], *widths]
    layers = [layer for a, b in zip(full, widths, strict=False) for layer in (torch.nn.Linear(a, b), torch.nn.ReLU())]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(full[-1], int(data["outputs"])))
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    loss_of = F.mse_loss if is_regression(data) else F.cross_entropy
    while True:
        for batch in torch.randperm(len(tensors["y"])).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss_of(model(tensors["x"][batch]), tensors["y"][batch]).backward()
            optimizer.step()
        with torch.no_grad():  # (left before the yield: others train meanwhile)
            loss = float(loss_of(model(tensors["x_val"]), tensors["y_val"]))
        yield loss


def sklearn_losses(data: Data, seed: int) -> Iterator[float]:
    """Validation losses of scikit-learn's default network, one an epoch."""
    from sklearn.metrics import log_loss
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    classes = np.unique(data["y"])
    model = MLPRegressor(random_state=seed) if is_regression(data) else MLPClassifier(random_state=seed)
    while True:
        if is_regression(data):
            model.partial_fit(data["x"], data["y"][:, 0])
            yield float(np.mean((model.predict(data["x_val"]) - data["y_val"][:, 0]) ** 2))
        else:
            model.partial_fit(data["x"], data["y"], classes=classes)
            yield float(log_loss(data["y_val"], model.predict_proba(data["x_val"]), labels=classes))


def trains_to(losses: Iterator[float], target: float) -> bool:
    """Whether one network meets the target before `MOST_EPOCHS`."""
    return any(loss <= target for _, loss in zip(range(MOST_EPOCHS), losses, strict=False))


def with_sklearn(data: Data, target: float, seed: int, threads: int) -> bool:  # noqa: ARG001
    """scikit-learn's default network."""
    return trains_to(sklearn_losses(data, seed), target)


def with_torch(rate: float) -> Any:
    """256-256-256 in PyTorch at a rate."""
    return lambda data, target, seed, _: trains_to(torch_losses(data, WIDTHS, rate, seed), target)


def with_optuna(data: Data, target: float, seed: int, threads: int) -> bool:  # noqa: ARG001
    """Optuna over width and rate, with its median pruner."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), pruner=optuna.pruners.MedianPruner())
    for _ in range(TRIALS):
        trial = study.ask()
        width = trial.suggest_int("width", 16, 512, log=True)
        rate, best = trial.suggest_float("rate", 3e-4, 3e-2, log=True), math.inf
        for epoch, loss in zip(range(60), torch_losses(data, (width,) * 3, rate, seed), strict=False):
            if loss <= target:
                return True
            best = min(best, loss)
            trial.report(loss, epoch)
            if trial.should_prune():
                break
        study.tell(trial, best)
    return False


def with_sizer(data: Data, target: float, seed: int, threads: int) -> bool:
    """`sizer search` with its defaults."""
    import sizer

    given = {"target_loss": target, "seed": seed, "threads": threads, "device": "cpu", "meter": "none"}
    with tempfile.TemporaryDirectory() as folder:
        parts = (data["x"], data["y"]), (data["x_val"], data["y_val"])
        return bool(sizer.search(*parts, folder=folder, max_time_s=SECONDS, **given).reached)


METHODS = {
    "sizer search": with_sizer,
    "scikit-learn's default": with_sklearn,
    "256-256-256 at 1e-3": with_torch(1e-3),
    "256-256-256 at 4e-3": with_torch(4e-3),
    "Optuna, 20 trials": with_optuna,
}


def best_default(data: Data) -> float:
    """The best validation loss of the three default networks."""
    makers = (sklearn_losses(data, 100), *(torch_losses(data, WIDTHS, rate, 100) for rate in (1e-3, 4e-3)))
    return min(_best(losses) for losses in makers)


def _best(losses: Iterator[float]) -> float:
    best, since = math.inf, 0
    for _, loss in zip(range(MOST_EPOCHS), losses, strict=False):
        best, since = (loss, 0) if loss < best else (best, since + 1)
        if since >= PATIENCE:
            break
    return best


def child(method: str, path: Path, target: float, seed: int, threads: int) -> None:
    """One contender on one target, in this process; exit code 0 where it met it."""
    import torch

    torch.set_num_threads(threads)
    sys.exit(0 if METHODS[method](read_data(path), target, seed, threads) else 3)


def measure(path: Path, method: str, target: float, seed: int, threads: int) -> tuple[float, float]:
    """Wall clock and processor time from process start, inf where the target was not met.

    Raises where the contender broke.
    """
    script = [sys.executable, __file__, "--child", method, str(path), f"{target}", f"{seed}", f"{threads}"]
    began, used = time.perf_counter(), _children_s()
    try:
        done = subprocess.run(script, check=False, timeout=SECONDS, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        return math.inf, math.inf
    if done.returncode not in (0, 3):
        raise RuntimeError(f"{method} on {path.name}: {done.stderr[-500:]}")
    spent = time.perf_counter() - began, _children_s() - used
    return spent if done.returncode == 0 else (math.inf, math.inf)


def _children_s() -> float:
    """Processor time of all processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(into: Path, minutes: float, threads: int) -> dict[str, Any]:
    """Measure what is not measured yet until the time is over; contenders take turns on the same machine."""
    kept: dict[str, Any] = json.loads(into.read_text()) if into.exists() else {}
    end = time.perf_counter() + 60 * minutes
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            for name in TASKS:
                if time.perf_counter() < end:
                    _run_task(kept, into, write_data(name, Path(folder)), (name, seed, threads), end)
    return kept


def _run_task(kept: dict[str, Any], into: Path, path: Path, which: tuple[str, int, int], end: float) -> None:
    """Every contender on a task's targets, from one seed."""
    name, seed, threads = which
    if f"{name} best" not in kept:
        kept[f"{name} best"] = best_default(read_data(path))
        into.write_text(json.dumps(kept))
    for level in LEVELS:
        for method in METHODS:
            key = f"{name} {level} {seed} {method}"
            if key in kept or time.perf_counter() > end:
                continue
            kept[key] = measure(path, method, level * kept[f"{name} best"], seed, threads)
            into.write_text(json.dumps(kept))
            print("{}: {:.1f} s, {:.1f} s of a processor".format(key, *kept[key]), flush=True)


def report(kept: dict[str, Any], which: int) -> None:
    """Medians of seeds by data set and target of wall clock (0) or processor time (1), and what was missed.

    The last column is the time over sizer's, where both met the target: the geometric mean.
    """
    print(f"{'':28s}" + "".join(f"{name[:10]:>11s}" for name in TASKS) + f"{'not met':>11s}{'of sizer':>10s}")
    for level in LEVELS:
        for method in METHODS:
            keys = [[f"{name} {level} {seed} {method}" for seed in SEEDS] for name in TASKS]
            times = [[kept[key][which] for key in of_task if key in kept] for of_task in keys]
            cells = "".join(f"{float(np.median(one)):9.1f} s" if one else " " * 11 for one in times)
            missed, tried = sum(math.isinf(one) for of_task in times for one in of_task), sum(map(len, times))
            pairs = [
                (kept[key][which], kept[_of_sizer(key, method)][which]) for of in keys for key in of if key in kept
            ]
            logs = [math.log(mine / sizers) for mine, sizers in pairs if math.isfinite(mine) and math.isfinite(sizers)]
            ratio = f"{math.exp(sum(logs) / len(logs)):10.2f}" if logs else ""
            print(f"{level:.1f}x {method:23s}{cells}{missed:5d} of {tried:2d}{ratio}")


def _of_sizer(key: str, method: str) -> str:
    """The key of sizer's time on the same target."""
    return key.removesuffix(method) + next(iter(METHODS))


def main() -> None:
    """Measure, or be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--into", type=Path, default=Path("proof.json"))
    parser.add_argument("--cpu", action="store_true", help="print processor time, not wall clock")
    parser.add_argument("--child", nargs=5, metavar="X", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        method, path, target, seed, threads = options.child
        child(method, Path(path), float(target), int(seed), int(threads))
    report(run(options.into, options.minutes, options.threads), 1 if options.cpu else 0)


if __name__ == "__main__":
    main()
