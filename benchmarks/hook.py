"""What the hook costs a training: once, and on every step after; beside the per-step cost of zeus and codecarbon.

    python benchmarks/hook.py [--steps 2000] [--json FILE]

A 6-layer network (784-512x5-10, batch 32 so that a step is short and a cost would show). The time that
`sizer.watch()` adds is what its set-up takes before the training (imports and reads included), and how much longer
the step that it sees is than the median of others, in fresh processes and again in the same one. *After* is the
median ratio of step times with a finished hook to those without any, in blocks that alternate. zeus and codecarbon
are called around an empty step as their documentation shows, and left out where they are not installed; codecarbon in
its offline mode. Of zeus it takes a release under its present name (`pip install zeus`): the last one named zeus-ml,
0.11.0.post1, raises KeyError without AMD's library, since its dependency amdsmi raises another error than those that
it catches. Where this machine has no calibration, one of 15 s is made in a temporary folder, so that the hook has a
profile to read.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

WIDTHS = (784, 512, 512, 512, 512, 512, 10)
BATCH = 32
BLOCK = 50


def network() -> nn.Sequential:
    """The 6-layer network."""
    layers = [part for pair in itertools.pairwise(WIDTHS) for part in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


class Training:
    """A training whose steps can be run one at a time."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = network()
        self.optimizer = torch.optim.Adam(self.model.parameters(), fused=True)
        self.inputs, self.targets = torch.randn(BATCH, WIDTHS[0]), torch.randn(BATCH, WIDTHS[-1])

    def step(self) -> None:
        """One step."""
        self.optimizer.zero_grad(set_to_none=True)
        nn.functional.mse_loss(self.model(self.inputs), self.targets).backward()
        self.optimizer.step()

    def block(self) -> list[float]:
        """Times of a block of steps, s."""
        times = []
        for _ in range(BLOCK):
            started = time.perf_counter()
            self.step()
            times.append(time.perf_counter() - started)
        return times


def hook_times_s() -> tuple[float, float]:
    """What setting the watch up takes, and how much longer than others the step is that it sees, s.

    A training of the same kind has run before, so that what torch does once for its first step is not in it.
    """
    usual = statistics.median(Training().block())
    started = time.perf_counter()
    from sizer.hook.watching import Watch

    training = Training()
    with contextlib.redirect_stderr(io.StringIO()), Watch() as watch:
        ready = time.perf_counter()
        training.step()
        ended = time.perf_counter()
    assert watch.trained
    return ready - started, ended - ready - usual


def ratio_after(steps: int) -> tuple[float, float]:
    """Step time with a finished hook over that without, both as medians; and the same for two trainings without."""
    from sizer.hook.watching import Watch

    plain, other, hooked = Training(), Training(), Training()
    with contextlib.redirect_stderr(io.StringIO()), Watch():
        hooked.step()
    times: dict[str, list[float]] = {"plain": [], "other": [], "hooked": []}
    trainings = {"plain": plain, "other": other, "hooked": hooked}
    for training in trainings.values():
        training.block()
    for block in range(steps // BLOCK):
        names = list(trainings)[block % 3 :] + list(trainings)[: block % 3]
        for name in names:
            times[name] += trainings[name].block()
    base = statistics.median(times["plain"])
    return statistics.median(times["hooked"]) / base, statistics.median(times["other"]) / base


def beside(name: str, windows: int = 200) -> float | None:
    """What another tool's measurement around a step takes, s, median; None where it is absent or cannot measure."""
    try:
        around = {"zeus": _zeus, "codecarbon": _codecarbon}[name]()
    except Exception as error:  # each tool refuses a machine without a meter in its own way
        print(f"{name}: {type(error).__name__}: {str(error)[:100]}", file=sys.stderr)
        return None
    times = []
    for _ in range(windows):
        started = time.perf_counter()
        around(lambda: None)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _zeus() -> Callable[[Callable[[], None]], None]:
    from zeus.monitor import ZeusMonitor

    monitor = ZeusMonitor(gpu_indices=[])

    def around(step: Callable[[], None]) -> None:
        monitor.begin_window("step")
        step()
        monitor.end_window("step")

    return around


def _codecarbon() -> Callable[[Callable[[], None]], None]:
    from codecarbon import OfflineEmissionsTracker

    tracker = OfflineEmissionsTracker(
        country_iso_code="USA", save_to_file=False, log_level="critical", measure_power_secs=3600
    )
    tracker.start()

    def around(step: Callable[[], None]) -> None:
        tracker.start_task("step")
        step()
        tracker.stop_task("step")

    tracker.stop_task() if tracker._active_task else None
    return around


def first_times_s() -> tuple[float, float]:
    """The hook's own times in a fresh process, imports of sizer included, s."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import hook; print(*hook.hook_times_s())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    start, steps = map(float, done.stdout.split())
    return start, steps


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with calibrated():
        result = measured(options.steps)
    for name, value in result.items():
        print(f"{name}: {'not measured' if value is None else f'{value:.4g}'}")
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


@contextlib.contextmanager
def calibrated() -> Iterator[None]:
    """With a calibration in place: this machine's own, or a short one that is thrown away."""
    from sizer.base.storage import data_folder

    if (data_folder() / "profiles" / "calibrated-cpu.json").is_file():
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("XDG_DATA_HOME")
        os.environ["XDG_DATA_HOME"] = folder
        subprocess.run([sys.executable, "-m", "sizer", "calibrate", "--budget", "15s", "--quiet"], check=True)
        try:
            yield
        finally:
            del os.environ["XDG_DATA_HOME"]
            if before is not None:
                os.environ["XDG_DATA_HOME"] = before


def measured(steps: int) -> dict[str, float | None]:
    """All figures."""
    after, floor = ratio_after(steps)
    fresh = [_in_ms(statistics.median(times)) for times in zip(*(first_times_s() for _ in range(7)), strict=True)]
    again = [_in_ms(statistics.median(times)) for times in zip(*(hook_times_s() for _ in range(10)), strict=True)]
    return {
        "set_up_ms": fresh[0],
        "first_step_ms": fresh[1],
        "set_up_again_ms": again[0],
        "first_step_again_ms": again[1],
        "ratio_after": after,
        "ratio_of_two_without": floor,
        "zeus_ms_per_step": _in_ms(beside("zeus")),
        "codecarbon_ms_per_step": _in_ms(beside("codecarbon")),
    }


def _in_ms(value_s: float | None) -> float | None:
    return None if value_s is None else 1e3 * value_s


if __name__ == "__main__":
    main()
