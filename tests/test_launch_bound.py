"""Launching and work told apart, on a made-up card: 60 us a step, 25 a layer, 3 a tensor; 30 TFLOP/s, 3 TB/s."""

from __future__ import annotations

import numpy as np
import pytest

from sizer.calibration.fit import solve
from sizer.calibration.launch_bound import advice, fit_launch, free_until, launch_row, step_j, step_s

LAUNCH = {"step": 60e-6, "layer": 25e-6, "tensor": 3e-6}
WORK = {"operation": 1 / 15e12, "byte": 1 / 3e12}


def networks(count: int = 400, widest: float = 13.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depths, widths and batch sizes: half of them large enough to keep the card busy."""
    draw = np.random.default_rng(seed)
    depth = draw.integers(2, 21, count).astype(float)
    width = np.round(2 ** draw.uniform(4, widest, count))
    batch = 2.0 ** draw.integers(5, 14, count)
    return depth, width, batch


def rows(depth, width, batch):
    launch = launch_row(depth, 2 * depth, per_tensor=True)
    work = {"operation": 3 * depth * batch * width**2, "byte": 4 * depth * (7 * width**2 + 6 * batch * width)}
    return launch, work


def true_s(launch, work):
    return np.maximum(sum(LAUNCH[n] * launch[n] for n in LAUNCH), sum(WORK[n] * work[n] for n in WORK))


@pytest.fixture(scope="module")
def fitted():
    launch, work = rows(*networks())
    noise = np.random.default_rng(1).lognormal(0.0, 0.01, len(launch["step"]))
    return fit_launch(launch, work, true_s(launch, work) * noise)


def test_the_card_is_found_again(fitted):
    assert 0.3 < np.mean(fitted.waited) < 0.7
    assert fitted.work["operation"] == pytest.approx(WORK["operation"], rel=0.05)
    # Layers and tensors of a plain network go together: what counts is what both cost.
    assert fitted.launch["step"] == pytest.approx(60e-6, rel=0.1)
    assert fitted.launch.get("layer", 0) + 2 * fitted.launch.get("tensor", 0) == pytest.approx(31e-6, rel=0.03)


def test_new_networks_are_priced_within_three_percent_on_either_side(fitted):
    launch, work = rows(*networks(seed=7))
    predicted, true = step_s(fitted.launch_s(launch), fitted.work_s(work)), true_s(launch, work)
    waits = fitted.launch_s(launch) >= fitted.work_s(work)
    for kind in (waits, ~waits):
        assert np.mean(np.abs(predicted / true - 1)[kind]) < 0.03


def test_one_sum_prices_the_wide_network_wrong():
    """Fitted to networks of which most wait, as a plan of a CPU has them, a sum is far off where the work begins."""
    launch, work = rows(*networks(widest=10.0))
    measured, wide = true_s(launch, work), rows(np.array([6.0]), np.array([4096.0]), np.array([64.0]))
    columns = {**launch, **work}
    terms = solve(np.column_stack(list(columns.values())), measured)
    by_sum = sum(value * column for value, column in zip(terms, {**wide[0], **wide[1]}.values(), strict=True))
    fit = fit_launch(launch, work, measured)
    apart = step_s(fit.launch_s(wide[0]), fit.work_s(wide[1]))
    true = true_s(*wide)[0]
    assert abs(apart[0] / true - 1) < 0.05
    assert abs(by_sum[0] / true - 1) > 2 * abs(apart[0] / true - 1)


def test_too_few_networks_of_one_kind_say_nothing_of_it():
    launch, work = rows(*networks(widest=5.0))
    work = {name: column / 1e6 for name, column in work.items()}
    found = fit_launch(launch, work, true_s(launch, work))
    assert found.launch["step"] == pytest.approx(60e-6, rel=0.1)
    assert found.waited.all()


def test_a_fused_optimizer_launches_for_all_tensors_at_once():
    assert "tensor" not in launch_row(np.ones(3), np.ones(3), per_tensor=False)


def test_energy_is_a_sum():
    """100 W while 1 ms is waited, and the joules of the work."""
    joules = step_j(np.array([3e-3, 1e-3]), np.array([2e-3, 2e-3]), np.array([0.5, 0.5]), 100.0)
    assert joules == pytest.approx([0.6, 0.5])


def test_size_is_free_as_long_as_a_step_waits():
    widths, launch = (64, 256, 1024, 4096), np.full(4, 100e-6)
    assert free_until(widths, launch, np.array([1e-6, 10e-6, 99e-6, 1e-3])) == 1024
    assert "size is free up to width 1024; CUDA graphs" in advice(1024)
    assert free_until(widths, launch, np.full(4, 1e-3)) is None
    assert advice(None) is None
