"""Trends: medians and slopes worked out by hand, and the published figure 3 from the published coefficients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import DATA
from study_frames import modelled_runs

from sizer.base.errors import MeasurementError, UsageError
from sizer.study.analysis.trends import neighbours, shown, trends
from sizer.study.generated.design import Plan


def by_hand() -> pd.DataFrame:
    """Cost a datum is 0.001 J + 1e-6 J a parameter, with a run at half and one at twice that, on two data sets."""
    rows = [
        {"dataset": name, "h_t": h_t, "size": size, "num_free_parameters": size, "depth": depth, "factor": factor}
        for name, h_t in (("small", 10), ("large", 100))
        for size in (1024, 2048, 4096)
        for depth in (2, 4)
        for factor in (0.5, 1.0, 2.0)
    ]
    frame = pd.DataFrame(rows).assign(hardware="cpu", shape="rectangle", batch_size="256", epochs=3000)
    cost = frame["factor"] * (0.001 + 1e-6 * frame["size"])
    return frame.assign(
        operations_per_datum=3.0 * frame["size"],
        energy_per_datum_j=cost,
        non_overhead_energy=cost * frame["h_t"] * 3000 * 256,
    )


def test_medians_and_quartiles_by_hand():
    points, _, step = trends(by_hand())
    everything = points[(points["panel"] == "b") & (points["group"] == "all") & (points["x"] == 2048)]
    values = everything.set_index("stat")["y"]
    middle = 0.001 + 1e-6 * 2048
    assert values["median"] == pytest.approx(middle)
    assert values["q25"] == pytest.approx(np.quantile([0.5, 1, 2] * 4, 0.25) * middle)
    assert values["q75"] == pytest.approx(2 * middle)
    assert set(everything["runs"]) == {12}
    epoch = points[(points["panel"] == "a") & (points["stat"] == "median") & (points["group"] == "all")]
    assert epoch["x"].tolist() == [2560, 25600]
    assert epoch["y"].tolist() == pytest.approx([2560 * middle, 25600 * middle])
    assert set(points["group"]) >= {"all", "depth=2", "depth=4"}
    assert points["y_name"].iloc[0] == "energy_per_epoch_J"
    assert (step.rows_in, step.rows_out) == (36, len(points))


def test_slopes_are_marginal_costs():
    _, slopes, _ = trends(by_hand())
    marginal = slopes[(slopes["kind"] == "marginal") & (slopes["least"] == 0)].set_index("x")
    assert marginal.loc["num_free_parameters", ["q25", "q50", "q75"]].tolist() == pytest.approx([1e-6] * 3)
    assert marginal.loc["depth", "q50"] == pytest.approx(0, abs=1e-12)
    # One more observation costs what a datum costs: at the middle size 3.048 mJ.
    assert marginal.loc["training_data_per_epoch", "q50"] == pytest.approx(0.001 + 1e-6 * 2048)
    elasticity = slopes[slopes["kind"] == "elasticity"].set_index("x")
    assert elasticity.loc["training_data_per_epoch", "q50"] == pytest.approx(1)


def test_neighbours_never_pair_different_networks():
    frame = pd.DataFrame({"group": ["a", "a", "b", "b"], "x": [1, 2, 4, 8], "y": [1.0, 3.0, 10.0, 20.0]})
    pairs = neighbours(frame, "x", "y", ["group"])
    assert pairs["dy"].tolist() == [2, 10]
    assert pairs["dx"].tolist() == [1, 4]


def test_groups_are_the_studys_or_spread():
    assert shown(pd.Series([2, 3, 4, 8]), (2, 4, 8, 16)) == [2, 4, 8]
    assert shown(pd.Series([3, 5, 6, 7]), (2, 4, 8, 16)) == [3, 6, 7]


def test_published_gpu_medians_follow_from_the_published_coefficients():
    """Figure 3's GPU medians within 12 %: an independent check of rows, units and grouping."""
    published = pd.read_csv(DATA / "butter_e_fig3_medians.csv")
    plan = Plan(8000, noise=0.0, repeats=0.0, hardware=("gpu",), shapes=("rectangle", "trapezoid", "wide_first_4x"))
    runs = modelled_runs(plan)
    points, _, _ = trends(runs[runs["dataset"] != "505_tecator"])
    keys = ["panel", "hardware", "group", "stat", "x"]
    both = published.assign(x=published["x"].round()).merge(points.assign(x=points["x"].round()), on=keys)
    assert len(both) > 40
    ratio = both["y_y"] / both["y_x"]
    assert ratio.between(0.88, 1.12).all(), ratio.describe()


def test_bad_input_is_one_line():
    frame = by_hand()
    with pytest.raises(MeasurementError, match="lack the columns depth, h_t"):
        trends(frame.drop(columns=["depth", "h_t"]))
    with pytest.raises(MeasurementError, match="none of the 36 runs has a known energy or time"):
        trends(frame.assign(energy_per_datum_j=np.nan))
    with pytest.raises(UsageError, match="unknown quantity 'watts'"):
        trends(frame, "watts")
    with pytest.raises(MeasurementError, match="batch size"):
        trends(frame.assign(batch_size="many"))


def test_runs_without_a_cost_are_counted():
    frame = by_hand()
    frame.loc[:4, "energy_per_datum_j"] = np.nan
    frame.loc[5, ["energy_per_datum_j", "non_overhead_energy"]] = -1.0
    _, _, step = trends(frame)
    assert step.rules[0].count == 6
