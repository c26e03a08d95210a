"""How many times as long a step takes with torch's other optimizer forms as with the fused ones, on a CPU.

    python benchmarks/optimizer_forms.py [--networks 20]

Random networks on one thread, the three forms in turn, as ratios of the 20th percentile of the thread's processor time,
which a busy machine distorts little. `sizer.inspection.networks.prediction` widens a prediction by these ranges.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import time
from typing import Any

import torch
from torch import nn

KINDS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "adam": (torch.optim.Adam, {}),
    "sgd": (torch.optim.SGD, {"lr": 1e-3}),
    "sgd-momentum": (torch.optim.SGD, {"lr": 1e-3, "momentum": 0.9}),
}
FORMS: dict[str, dict[str, bool]] = {
    "fused": {"fused": True},
    "single-tensor": {"foreach": False},
    "foreach": {"foreach": True},
}
MAX_PARAMETERS = 2_500_000


def networks(count: int) -> list[tuple[tuple[int, ...], int]]:
    """Widths, input first, and batch size of random networks."""
    draw, found = random.Random(1), []  # noqa: S311 (no secret)
    while len(found) < count:
        depth, width = draw.choice((2, 3, 4, 6, 10, 16)), int(2 ** draw.uniform(3, 9.5))
        full = (draw.choice((10, 100, 784)), *[width] * (depth - 1), 10)
        if sum((w_in + 1) * w_out for w_in, w_out in itertools.pairwise(full)) <= MAX_PARAMETERS:
            found.append((full, draw.choice((32, 128, 256, 512))))
    return found


def step_times_s(full: tuple[int, ...], batch_size: int, kind: str) -> dict[str, float]:
    """Processor time of a step with each form of an optimizer, s."""
    inputs, targets = torch.randn(batch_size, full[0]), torch.randn(batch_size, full[-1])
    trained, times = {}, {form: [] for form in FORMS}  # type: ignore[var-annotated]
    make, options = KINDS[kind]
    for form, chosen in FORMS.items():
        layers = [part for pair in itertools.pairwise(full) for part in (nn.Linear(*pair), nn.ReLU())]
        model = nn.Sequential(*layers[:-1])
        trained[form] = model, make(model.parameters(), **options, **chosen)
    until, rounds = time.thread_time() + 1.0, 0
    while rounds < 12 or (time.thread_time() < until and rounds < 150):
        for form, (model, optimizer) in trained.items():
            started = time.thread_time()
            optimizer.zero_grad(set_to_none=True)
            nn.functional.mse_loss(model(inputs), targets).backward()
            optimizer.step()
            times[form].append(time.thread_time() - started)
        rounds += 1
    return {form: sorted(taken[2:])[len(taken) // 5] for form, taken in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=20)
    count = parser.parse_args().networks
    torch.set_num_threads(1)
    drawn = networks(count)
    for kind in KINDS:
        measured = [step_times_s(full, batch_size, kind) for full, batch_size in drawn]
        for form in ("single-tensor", "foreach"):
            ratios = [times[form] / times["fused"] for times in measured]
            middle = statistics.median(ratios)
            print(f"{kind}, {form}: {min(ratios):.2f} to {max(ratios):.2f}, median {middle:.2f}", flush=True)


if __name__ == "__main__":
    main()
