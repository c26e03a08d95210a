"""The runs frame against the study's own rows: networks, counts, working sets, levels, cost a datum."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sizer.base.errors import MeasurementError
from sizer.method.cost import training_cost
from sizer.method.placement import Hierarchy
from sizer.models import SHAPES, Topology
from sizer.study import published
from sizer.study.runs.networks import analysed, solve_widths, with_networks

RUN = {"dataset": "529_pollen", "shape": "rectangle", "size": 128, "depth": 3, "batch_size": "256", "optimizer": "Adam"}


def frame(*runs: dict) -> pd.DataFrame:
    return pd.DataFrame([{**RUN, "is_gpu": False, "experiment_id": 1, **run} for run in runs])


def counts(rules) -> dict[str, int]:
    return {rule.name: rule.count for rule in rules if rule.count}


def test_the_pol_row_is_that_of_the_study(reference):
    row = reference("butter_e_201_pol_row.json")
    costs = {"non_overhead_energy": row["non_overhead_energy"], "non_overhead_runtime": row["non_overhead_runtime"]}
    run = {"dataset": row["dataset"], "size": int(row["size"]), "depth": row["depth"], **costs}
    found, rules = with_networks(frame(run))
    one = found.iloc[0]
    assert counts(rules) == {}
    exact = {
        "widths": tuple(row["widths"]),
        "full": tuple(row["full_widths"]),
        "num_free_parameters": row["num_free_parameters"],
        "n_observations": row["n_observations"],
        "n_features": row["n_features"],
        "epochs": row["num_epochs"],
        "h_t": row["num_training_batches_per_epoch"],
        "h_s": row["num_test_batches_per_epoch"],
        "forward_operations": row["fwd_operations"],
        "backward_operations": row["bwd_operations"],
        "f_bytes": row["fwd_pass_working_set_singular_size"],
        "b_bytes": row["bwd_pass_working_set_singular_size"],
        "d_bytes": row["dataset_bytes"],
        "t_max_bytes": row["per_layer_interlayer_working_set_max_singular_size"],
        "f_level": "L1",
        "b_level": "L1",
        "d_level": "L2",
        "t_max_level": "L1",
        "hardware": "cpu",
    }
    assert {name: one[name] for name in exact} == exact
    for name, study in (("f", "fwd_pass"), ("b", "bwd_pass"), ("d", "epoch")):
        assert int(one[f"{name}_cached_bytes"]) == row[f"{study}_working_set_cached_size"]
        assert int(one[f"{name}_occupied_bytes"]) == row[f"{study}_working_set_occupied_size"]
    assert one["operations_per_datum"] == pytest.approx(row["flops_per_training_datum"], rel=1e-6)
    assert one["energy_per_datum_j"] * 256 == pytest.approx(row["energy_per_training_batch"], rel=1e-6)
    assert np.log10(one["energy_per_datum_j"]) == pytest.approx(row["log10_energy_per_training_datum"], rel=1e-6)
    assert one["time_per_datum_s"] * 256 == pytest.approx(row["seconds_per_training_batch"], abs=5e-6)


def test_the_pollen_rows_are_those_of_the_study(reference):
    rows = reference("butter_e_pollen_rows.json")
    runs = [{"size": int(row["size"]), "depth": int(row["depth"]), "is_gpu": row["hardware"] == "gpu"} for row in rows]
    found = with_networks(frame(*runs)).frame
    for index, row in enumerate(rows):
        one = found.iloc[index]
        assert one["widths"] == tuple(row["widths"])
        assert one["num_free_parameters"] == row["num_free_parameters"]
        assert (one["h_t"], one["h_s"], one["d_bytes"]) == (13, 4, row["dataset_bytes"])
        assert int(one["b_occupied_bytes"]) == row["bwd_pass_working_set_effective_size"]
        assert int(one["d_cached_bytes"]) == row["epoch_working_set_cached_size"]
        assert int(one["d_occupied_bytes"]) == row["epoch_working_set_occupied_size"]


def test_the_cost_model_reads_the_frame(reference):
    rows = [row for row in reference("butter_e_pollen_rows.json") if row["hardware"] == "gpu"]
    runs = frame(*({"size": int(row["size"]), "depth": int(row["depth"]), "is_gpu": True} for row in rows))
    (group,) = analysed(with_networks(runs).frame)
    coefficients = published.node_profile("gpu").coefficients
    cost = training_cost(group.networks, coefficients, group.epochs, group.h_t, group.h_s)
    assert cost.tolist() == pytest.approx([row["std_energy"] for row in rows], rel=0.035)


def test_batches_are_whole_numbers_rounded_up():
    assert published.batches(1280, 0.8) == 4
    assert published.batches(1281, 0.8) == 5
    assert published.batches(np.array([15_000, 3848, 240]), 0.2).tolist() == [12, 4, 1]
    assert published.batches(640, 0.2, 128) == 1  # 0.2 x 640 in floating point is just above 128


def test_many_networks_are_solved_as_one_by_one(reference):
    rows = pd.DataFrame(reference("butter_shapes.json")).rename(columns={"requested_ntp": "size"})
    found = solve_widths(rows)
    for got, accepted, widths in zip(found, rows["accepted_20pct"], rows["widths"], strict=True):
        assert got == (tuple(widths) if accepted else None)
    more = pd.DataFrame({"shape": SHAPES, "size": 50_000, "depth": 5, "input_dim": 26, "output_dim": 11})
    solved = [Topology.solve(shape, 50_000, 5, 26, 11).widths for shape in SHAPES]
    assert solve_widths(more.set_axis(range(10, 18))).tolist() == solved


def test_summaries_know_better_than_the_rule():
    summaries = pd.DataFrame({"experiment_id": [1], "widths": [np.array([7, 7, 1])]})
    found = with_networks(frame({}, {"experiment_id": 2}), summaries).frame
    assert found["widths"].tolist() == [(7, 7, 1), (8, 8, 1)]
    assert found["num_free_parameters"].tolist() == [5 * 7 + 8 * 7 + 8, 5 * 8 + 9 * 8 + 9]


def test_what_is_not_known_is_left_out_and_counted():
    found, rules = with_networks(
        frame({}, {"dataset": "iris"}, {"shape": "star"}, {"size": 1, "dataset": "mnist"}, {"optimizer": "Lion"})
    )
    assert len(found) == 1
    assert counts(rules) == {"unknown data set": 1, "unknown network": 2, "unknown optimizer": 1}
    assert rules[1].examples == ("star 128 3", "rectangle 1 3")
    with pytest.raises(MeasurementError, match="have no column dataset, shape"):
        with_networks(pd.DataFrame({"size": [1]}))


def test_one_s_own_data_sets_levels_and_epochs():
    facts = {"n_observations": [1000], "n_features": [20], "input_dim": [20], "output_dim": [3]}
    own = pd.DataFrame(facts, index=pd.Index(["mine"], name="dataset"))
    levels = {"cpu": Hierarchy(("L1", "RAM"), (2**15, 2**40), (2, 1))}
    run = frame({"dataset": "mine", "batch_size": 32, "epochs": 7, "size": 1000})
    one = with_networks(run, datasets=own, levels=levels).frame.iloc[0]
    assert (one["epochs"], one["h_t"], one["h_s"]) == (7, 25, 7)
    assert one["d_bytes"] == 1000 * 4 * 21
    assert {one[f"{name}_level"] for name in ("f", "b", "t_max", "d", "o")} <= {"L1", "RAM"}


def test_a_set_that_fits_nowhere_has_no_level():
    levels = {"cpu": Hierarchy(("L1",), (100,), (1,))}
    one = with_networks(frame({}), levels=levels).frame.iloc[0]
    assert one["b_level"] is None
