"""Iso-loss: epochs, costs and minima of losses in closed form; the law of epochs recovered; what is missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from study_frames import one_family

from sizer.base.errors import MeasurementError
from sizer.method.placement import Hierarchy
from sizer.study.analysis.iso_loss import histogram, iso_loss, minimum
from sizer.study.analysis.loss_curves import epoch_of_minimum, epochs_to_loss, epochs_to_minimum, fit_laws

LEVELS = {"cpu": Hierarchy(("L1", "RAM"), (2**16, 2**30), (1, 1))}
SIZES = 2 ** np.arange(8, 21)
EPOCHS = np.arange(1, 1001)
C = 1.5


def law_losses(sizes: np.ndarray = SIZES) -> pd.DataFrame:
    """Test loss exp(-(epoch / 40)^(1/3) (log2 P + C) / 10): epochs to any loss are proportional to (log2 P + C)^-3."""
    rows = [
        {
            "dataset": "mnist",
            "shape": "rectangle",
            "depth": 4,
            "size": size,
            "num_free_parameters": size,
            "num_runs": 5,
            "epoch": EPOCHS,
            "test_loss_quantile_50": np.exp(-((EPOCHS / 40) ** (1 / 3)) * (np.log2(size) + C) / 10),
        }
        for size in sizes
    ]
    return pd.DataFrame(rows)


def cost(sizes: np.ndarray) -> np.ndarray:
    """A pass has a price of its own, and so has each parameter beyond L1."""
    return 50.0 + np.maximum(sizes - 2**14, 0) * 0.01


def runs() -> pd.DataFrame:
    frame = one_family(SIZES, cost(SIZES))
    return frame.assign(f_level=np.where(4 * SIZES <= 2**16, "L1", "RAM"))


def test_epochs_to_a_loss_by_hand():
    epochs, losses = [1, 2, 3, 4, 5], [8.0, 4.0, 6.0, 1.0, np.nan]
    found = epochs_to_loss(epochs, losses, [10.0, 8.0, 4.0, 2.0, 1.0, 0.5])
    # Between epoch 2 (4.0) and epoch 4 (1.0, the next best) half way in log loss is half way in log epochs.
    assert found[:5].tolist() == pytest.approx([1, 1, 2, np.sqrt(8), 4])
    assert np.isnan(found[5])
    assert epoch_of_minimum(epochs, losses) == (4, True)
    assert epoch_of_minimum([1, 2, 3], [3.0, 1.0, 2.0]) == (2, False)


def test_costs_to_a_loss_follow_the_law():
    found, _ = iso_loss(runs(), law_losses(), LEVELS)
    for loss, curve in found.curves.groupby("loss"):
        curve = curve[curve["epochs"] > 3]  # interpolation between the first whole epochs is coarse
        expected = 40 * (-10 * np.log(loss) / (np.log2(curve["size"]) + C)) ** 3
        assert curve["epochs"].to_numpy() == pytest.approx(expected.to_numpy(), rel=0.03)
        assert curve["cost"].to_numpy() == pytest.approx(curve["epochs"] * cost(curve["size"].to_numpy()) / 100)
        assert curve["operations"].to_numpy() == pytest.approx(curve["epochs"] * 3.0 * curve["size"] * 2560)


def test_the_minimum_is_where_the_law_says():
    found, step = iso_loss(runs(), law_losses(), LEVELS)
    fine = 2.0 ** np.linspace(8, 20, 4000)
    best = fine[np.argmin(cost(fine) * (np.log2(fine) + C) ** -3.0)]
    whole = found.minima[found.minima["interior"] & (found.minima["sizes"] == len(SIZES))]
    interior = whole.nsmallest(8, "loss")  # hundreds of epochs: whole ones are no coarse steps there
    assert len(interior) == 8
    assert interior["num_free_parameters"].median() == pytest.approx(best, rel=0.35)
    (edge,) = found.edges.to_dict("records")
    assert (edge["working_set"], edge["level"], edge["num_free_parameters"]) == ("f", "L1", 1.5 * 2**14)
    past = np.log2(interior["num_free_parameters"] / edge["num_free_parameters"])
    assert interior["f_octaves_past"].tolist() == pytest.approx(past.tolist())
    assert interior["b_octaves_past"].isna().all()
    assert interior["f_bytes"].tolist() == pytest.approx((4 * interior["num_free_parameters"]).tolist())
    # Fewest FLOPs are at the smallest size; what that costs beside the minimum is known.
    assert (interior["fewest_operations_parameters"] == SIZES[0]).all()
    each = cost(SIZES) * (np.log2(SIZES) + C) ** -3
    assert interior["excess"].tolist() == pytest.approx([each[0] / each.min()] * 8, rel=0.02)
    assert step.numbers["minima"] == len(found.minima)


def test_a_parabola_finds_the_minimum_between_sizes():
    sizes = 2.0 ** np.arange(10)
    cost = 2 ** (0.1 * (np.log2(sizes) - 4.3) ** 2 + 5)
    assert minimum(sizes, cost) == pytest.approx((2**4.3, 32))
    assert minimum(sizes, sizes) == (1, 1)
    assert minimum(sizes, 1 / sizes) == (512, 1 / 512)
    assert minimum(sizes[:3], np.ones(3)) == (1, 1)


def test_the_histogram_has_the_published_form():
    found, _ = iso_loss(runs(), law_losses(), LEVELS)
    assert list(found.histogram) == ["panel", "log2_bytes_lo", "log2_bytes_hi", "count"]
    assert found.histogram["panel"].unique().tolist() == ["cpu l", "cpu f", "cpu b", "cpu o"]
    of_f = found.histogram[found.histogram["panel"] == "cpu f"]
    assert (of_f["log2_bytes_lo"].tolist(), of_f["count"].sum()) == (list(range(5, 35)), found.minima["interior"].sum())
    assert histogram(found.minima[:0]).empty


def test_the_law_is_recovered_with_its_error():
    found, _ = iso_loss(runs(), law_losses(), LEVELS)
    curves = found.curves[found.curves["epochs"] > 5]
    _, laws = fit_laws(law_losses(), curves)
    to_loss = laws[(laws["epochs_to"] == "loss") & (laws["dataset"] == "all")].iloc[0]
    assert to_loss["c"] == pytest.approx(C, abs=0.1)
    assert to_loss["rms_log_residual"] < 0.02 < 0.3 < to_loss["rms_log_no_dependence"]


def test_the_error_of_c_is_what_scatter_makes_it():
    """Over many noisy repetitions c scatters as much as its standard error says."""
    random = np.random.default_rng(0)
    from sizer.study.analysis.loss_curves import fit_c

    size = np.tile(np.arange(6.0, 21.0), 4)
    group = np.repeat(np.arange(4), 15)
    true = 7.0 + group - 3 * np.log(size - 1.0)
    fits = np.array([fit_c(size, true + 0.2 * random.standard_normal(60), group)[:3] for _ in range(200)])
    assert fits[:, 0].mean() == pytest.approx(-1.0, abs=0.1)
    assert fits[:, 0].std() == pytest.approx(np.median(fits[:, 1]), rel=0.2)
    assert np.median(fits[:, 2]) == pytest.approx(0.2, rel=0.1)


def test_trainings_that_were_still_improving_are_censored():
    networks = epochs_to_minimum(law_losses())
    assert networks["censored"].all()
    rising = law_losses()
    rising["test_loss_quantile_50"] = [np.abs(EPOCHS - 300.0) + 1.0] * len(rising)
    networks = epochs_to_minimum(rising)
    assert not networks["censored"].any()
    assert set(networks["epochs"]) == {300}


def test_what_is_missing_is_counted():
    losses = law_losses()
    losses.at[0, "test_loss_quantile_50"] = np.full(len(EPOCHS), np.nan)
    losses.at[1, "test_loss_quantile_50"] = None
    _, step = iso_loss(runs(), losses, LEVELS)
    assert {rule.name: rule.count for rule in step.rules} == {"no cost": 0, "no loss": 2, "no pair": 2}


def test_bad_input_is_one_line():
    with pytest.raises(MeasurementError, match="the summaries by epoch lack the column epoch"):
        iso_loss(runs(), law_losses().drop(columns="epoch"), LEVELS)
    with pytest.raises(MeasurementError, match="have 2 networks in common"):
        iso_loss(runs(), law_losses(SIZES[:2]), LEVELS)
    with pytest.raises(MeasurementError, match="have 0 networks in common"):
        iso_loss(runs().assign(dataset="digits"), law_losses(), LEVELS)
