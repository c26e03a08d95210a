"""What people do without sizer, beside `sizer search`, to the same validation loss: wall clock from process start.

    python benchmarks/proof.py --minutes 60                # goes on where it stopped (--into FILE): run it in slices
    python benchmarks/proof.py --seeds 1 2 --parallel 2 --seconds 60 --minutes 35  # two seeds at a time, a core each
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
import itertools
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TASKS = ("optdigits", "satimage", "magic", "friedman1", "diamonds", "housing")
LEVELS = (1.0, 1.1)
SEEDS = (0, 1, 2)
WIDTHS, BATCH_SIZE, PATIENCE, MOST_EPOCHS = (256, 256, 256), 256, 25, 300
#: One contender has so long for one target, unless said; Optuna has so many trials.
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


def with_sklearn(data: Data, target: float, seed: int, threads: int, seconds: float) -> bool:  # noqa: ARG001
    """scikit-learn's default network."""
    return trains_to(sklearn_losses(data, seed), target)


def with_torch(rate: float) -> Any:
    """256-256-256 in PyTorch at a rate."""
    return lambda data, target, seed, *_: trains_to(torch_losses(data, WIDTHS, rate, seed), target)


def with_optuna(data: Data, target: float, seed: int, threads: int, seconds: float) -> bool:  # noqa: ARG001
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


def with_sizer(data: Data, target: float, seed: int, threads: int, seconds: float) -> bool:
    """`sizer search` with its defaults."""
    import sizer

    given = {"target_loss": target, "seed": seed, "threads": threads, "device": "cpu", "meter": "none"}
    with tempfile.TemporaryDirectory() as folder:
        parts = (data["x"], data["y"]), (data["x_val"], data["y_val"])
        return bool(sizer.search(*parts, folder=folder, max_time_s=seconds, **given).reached)


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


class Contest(NamedTuple):
    """One contender on one target of a task, from one seed, on so many threads for so many seconds at most."""

    method: str
    path: str
    target: float
    seed: int
    threads: int
    seconds: float


def child(contest: Contest) -> None:
    """Take part, in this process; exit code 0 where the target was met, and the processor time as the last line."""
    import torch

    method, path, *given = contest
    torch.set_num_threads(contest.threads)
    is_met = METHODS[method](read_data(Path(path)), *given)
    print(time.process_time())
    sys.exit(0 if is_met else 3)


def measure(contest: Contest) -> tuple[float, float, float]:
    """Wall clock and processor time from process start, inf where the target was not met; and the limit.

    Raises where the contender broke.
    """
    missed = math.inf, math.inf, contest.seconds
    script = [sys.executable, __file__, "--child", json.dumps(contest)]
    began = time.perf_counter()
    try:
        done = subprocess.run(script, check=False, timeout=contest.seconds, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        return missed
    if done.returncode not in (0, 3):
        raise RuntimeError(f"{contest.method} on {contest.path}: {done.stderr[-500:]}")
    spent = time.perf_counter() - began, float(done.stdout.split()[-1]), contest.seconds
    return spent if done.returncode == 0 else missed


class Kept:
    """What was measured so far, in a file that is written whole after each contest."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def add(self, key: str, value: Any) -> None:
        """Keep one more value."""
        from sizer.base.storage import write_whole

        with self._lock:
            self.found[key] = value
            write_whole(self._path, json.dumps(self.found).encode())


def run(kept: Kept, options: argparse.Namespace) -> None:
    """Measure what is not measured yet until the time is over: so many seeds at a time, contenders in turn."""
    end = time.perf_counter() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.parallel) as pool:
        paths = {}
        for name in TASKS:
            if time.perf_counter() < end:
                paths[name] = write_data(name, Path(folder))
                if f"{name} best" not in kept.found:
                    kept.add(f"{name} best", best_default(read_data(paths[name])))
        list(pool.map(lambda seed: _run_seed(kept, paths, seed, options, end), options.seeds))


def _run_seed(kept: Kept, paths: dict[str, Path], seed: int, options: argparse.Namespace, end: float) -> None:
    """Every contender on every target of every task, from one seed."""
    for name, level, method in itertools.product(paths, LEVELS, METHODS):
        key = f"{name} {level} {seed} {method}"
        if key in kept.found or time.perf_counter() > end:
            continue
        target = level * kept.found[f"{name} best"]
        kept.add(key, measure(Contest(method, str(paths[name]), target, seed, options.threads, options.seconds)))
        print("{}: {:.1f} s, {:.1f} s of a processor, of {:g} s".format(key, *kept.found[key]), flush=True)


def report(kept: dict[str, Any], which: int) -> None:
    """By data set and target the median of the seeds of wall clock (0) or processor time (1), and of how many met it.

    The last columns are all that were missed, and the time over sizer's where both met the target, geometric mean.
    """
    tried = [value for key, value in kept.items() if not key.endswith(" best")]
    limits = ", ".join(f"{limit:g}" for limit in sorted({value[2] if len(value) > 2 else SECONDS for value in tried}))
    print(f"s, median of seeds (seeds that met the target of those tried); a contender had {limits} s")
    print(f"{'':28s}" + "".join(f"{name[:10]:>13s}" for name in TASKS) + f"{'not met':>11s}{'of sizer':>10s}")
    for level, method in itertools.product(LEVELS, METHODS):
        keys = [[f"{name} {level} {seed} {method}" for seed in SEEDS] for name in TASKS]
        times = [[kept[key][which] for key in of_task if key in kept] for of_task in keys]
        missed, known = sum(math.isinf(one) for of in times for one in of), sum(map(len, times))
        pairs = [(kept[key][which], kept[_of_sizer(key, method)][which]) for of in keys for key in of if key in kept]
        logs = [math.log(mine / sizers) for mine, sizers in pairs if math.isfinite(mine) and math.isfinite(sizers)]
        ratio = f"{math.exp(sum(logs) / len(logs)):10.2f}" if logs else ""
        cells = "".join(f"{_cell(one):>13s}" for one in times)
        print(f"{level:.1f}x {method:23s}{cells}{missed:5d} of {known:2d}{ratio}")


def _cell(times: list[float]) -> str:
    """The median and how many met the target; a dash where half or more did not."""
    middle = float(np.median(times)) if times else math.inf
    met = f" ({sum(map(math.isfinite, times))}/{len(times)})" if times else ""
    return (f"{middle:.1f}" if math.isfinite(middle) else "-") + met


def _of_sizer(key: str, method: str) -> str:
    """The key of sizer's time on the same target."""
    return key.removesuffix(method) + next(iter(METHODS))


def main() -> None:
    """Measure, or be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, choices=SEEDS)
    parser.add_argument("--parallel", type=int, default=1, help="seeds at a time; each contender has --threads")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="what a contender has for a target")
    parser.add_argument("--into", type=Path, default=Path("proof.json"))
    parser.add_argument("--cpu", action="store_true", help="print processor time, not wall clock")
    parser.add_argument("--child", metavar="JSON", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        child(Contest(*json.loads(options.child)))
    kept = Kept(options.into)
    run(kept, options)
    report(kept.found, 1 if options.cpu else 0)


if __name__ == "__main__":
    main()
