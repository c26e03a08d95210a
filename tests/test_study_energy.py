"""Joules of runs: cases worked out by hand, each rule with its count, and the study's own rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study_files import SIX_SAMPLES, SIX_SAMPLES_J, log, write_folder, write_nodes, write_power

from sizer.base.errors import MeasurementError
from sizer.study import published
from sizer.study.files.power_logs import read_power
from sizer.study.files.schema import STANDARDIZED
from sizer.study.files.tables import read_metadata, read_nodes
from sizer.study.generated.design import Plan, design
from sizer.study.generated.generate import generate
from sizer.study.runs.energy import energies, filed, filtered, integrate, read_energies, standardized, without_overhead


def counts(rules) -> dict[str, int]:
    return {rule.name: rule.count for rule in rules if rule.count}


def integrated(folder: Path):
    return integrate(read_metadata(folder).frame, read_power(folder))


def test_a_run_by_hand_to_the_last_digit(tmp_path):
    found = integrated(write_folder(tmp_path))
    assert found.frame["energy"].tolist() == [SIX_SAMPLES_J]
    assert found.frame["run_time"].tolist() == [300.0]
    assert counts(found.rules) == {}


def test_samples_at_the_start_and_at_the_end_are_inside(tmp_path):
    samples = (("06:00:00", 100), ("06:01:00", 200), ("06:02:00", 300), ("06:05:00", 400))
    found = integrated(write_folder(tmp_path, logs={"7.csv": log(*samples)}))
    assert found.frame["energy"].tolist() == [60 * 100 + 60 * 200 + 180 * 300]
    assert counts(found.rules) == {}
    ends_at_zero = (*samples[:3], ("06:05:00", 0))
    assert counts(integrated(write_folder(tmp_path, logs={"7.csv": log(*ends_at_zero)})).rules) == {"0 W reading": 1}


def test_fractions_of_a_second_are_not_lost(tmp_path):
    run = {"start_time": "2023-07-01 12:00:00.250001+00:00", "update_time": "2023-07-01 12:04:59.999999+00:00"}
    found = integrated(write_folder(tmp_path, run))
    assert found.frame["energy"].tolist() == [(SIX_SAMPLES_J * 10**6 - 250_001 * 100 - 1 * 600) / 1e6]


def test_several_runs_of_one_job_and_two_nodes(tmp_path):
    other = tuple((time, watts + 1000) for time, watts in SIX_SAMPLES)
    both = log(*SIX_SAMPLES) + log(*other, node="g1").split("\n", 1)[1]
    half = {"update_time": "2023-07-01 12:02:30+00:00"}
    rest = {"start_time": "2023-07-01 12:02:30+00:00"}
    folder = write_folder(tmp_path, {}, half, rest, {"host_name": "g1", "is_gpu": True}, logs={"7.csv": both})
    energy = integrated(folder).frame["energy"].tolist()
    assert energy[0] == energy[1] + energy[2] == SIX_SAMPLES_J
    assert energy[1] == 30 * 100 + 60 * 200 + 60 * 300
    assert energy[3] == SIX_SAMPLES_J + 300 * 1000


def test_a_sample_is_held_over_one_that_is_missing(tmp_path):
    samples = [sample for sample in SIX_SAMPLES if sample[0] != "06:02:30"]
    found = integrated(write_folder(tmp_path, logs={"7.csv": log(*samples)}))
    assert found.frame["energy"].tolist() == [SIX_SAMPLES_J + 60 * (300 - 400)]  # 4 samples inside: 300 / 60 - 1


@pytest.mark.parametrize(
    ("samples", "rule"),
    [
        (SIX_SAMPLES[:1], "no sample"),
        (SIX_SAMPLES[:4], "too few samples"),  # 3 inside, 4 needed
        ((*SIX_SAMPLES[:3], ("06:02:30", 0), *SIX_SAMPLES[4:]), "0 W reading"),
        ((), "no sample"),
        (None, "no file"),
    ],
)
def test_each_rejection_is_named_and_counted(tmp_path, samples, rule):
    logs = {"8.csv": log(*SIX_SAMPLES)} if samples is None else {"7.csv": log(*samples)}
    found = integrated(write_folder(tmp_path, logs=logs))
    assert len(found.frame) == 0
    assert counts(found.rules) == {rule: 1}
    assert next(found_rule for found_rule in found.rules if found_rule.count).examples == ("r0",)


def test_a_log_of_another_node_is_no_sample(tmp_path):
    found = integrated(write_folder(tmp_path, logs={"7.csv": log(*SIX_SAMPLES, node="c2")}))
    assert counts(found.rules) == {"no sample": 1}


def test_what_is_held_at_the_start_is_noted(tmp_path):
    found = integrated(write_folder(tmp_path, logs={"7.csv": log(*SIX_SAMPLES[1:])}))
    assert found.frame["energy"].tolist() == [SIX_SAMPLES_J + 30 * (200 - 100)]  # the first sample stands in
    assert counts(found.rules) == {"late log": 1}
    dark = (("05:59:30", 0), *SIX_SAMPLES[1:])
    found = integrated(write_folder(tmp_path, logs={"7.csv": log(*dark)}))
    assert found.frame["energy"].tolist() == [SIX_SAMPLES_J - 30 * 100]
    assert counts(found.rules) == {"0 W at start": 1}


def test_filters_by_hand():
    rng = np.random.default_rng(1)
    times = np.exp(rng.normal(5, 0.1, 40))
    times[7] = np.exp(5 + 3.0)
    frame = pd.DataFrame(
        {
            "run_id": [f"r{index}" for index in range(43)],
            "is_gpu": [False] * 42 + [True],
            "dataset": ["a"] * 40 + ["b", "b", "a"],
            "size": 128,
            "run_time": [*times, 75_000.0, 75_000.5, 10.0],
            "energy": [1.0] * 41 + [0.0, 1.0],
        }
    )
    marked, rules = filtered(frame)
    assert marked.index[marked["filter_1"]].tolist() == [41]
    assert marked.index[marked["filter_2"]].tolist() == [41]
    assert marked.index[marked["filter_3"]].tolist() == [7]
    logs = np.log(times)
    assert marked["filter_3_stdevs"][7] == pytest.approx(abs(logs[7] - logs.mean()) / logs.std(), rel=1e-12)
    assert np.isnan(marked["filter_3_stdevs"][42])  # alone in its group
    assert [rule.count for rule in rules] == [1, 0, 1]  # the second matches one that the first has
    assert marked["filter"].sum() == 2


def test_depth_2_is_filed_under_the_rectangle():
    frame = pd.DataFrame(
        {
            "run_id": list("abcde"),
            "experiment_id": [10, 11, 12, 13, 14],
            "shape": ["trapezoid", "rectangle", "exponential", "trapezoid", "trapezoid"],
            "depth": [2, 2, 2, 3, 2],
            "size": [64, 64, 64, 64, 128],
        }
    ).assign(dataset="a", optimizer="Adam", batch_size="256", learning_rate="0.0001")
    found, rules = filed(frame)
    assert found["experiment_id"].tolist() == [11, 11, 11, 13, 14]
    assert found["shape"].tolist() == ["rectangle", "rectangle", "rectangle", "trapezoid", "rectangle"]
    assert counts(rules) == {"depth 2": 3}


@pytest.fixture
def nodes() -> pd.DataFrame:
    """One node of each type, with the published idle powers."""
    idle = published.published()["idle_power_w_by_type"]
    return pd.DataFrame({"type": list(idle), "p2": list(idle.values())}, index=[f"node-{kind}" for kind in idle])


def test_idle_powers_are_medians_over_a_types_nodes(tmp_path):
    facts = {f"c1{index}": "36, 85248, 900000, (null)" for index in range(4)}
    write_nodes(tmp_path, facts, {"c10": 200, "c11": 210, "c12": 230, "c13": 500})
    assert dict(published.published()["node_types"])["36 900000 85248 (null)"] == "cpu1"
    from sizer.study.runs.energy import idle_powers

    assert idle_powers(read_nodes(tmp_path).frame).to_dict() == {"cpu1": 220.0}


def test_pollen_rows_are_standardised_as_published(reference, nodes):
    """Power, standardised power and energy, overhead and what is left, to the digits of the published float32."""
    rows = pd.DataFrame(reference("butter_e_pollen_rows.json"))
    kinds = {("cpu", 0.0): "cpu1", ("cpu", -10.0): "cpu2", ("gpu", 0.0): "gpu1", ("gpu", -29.0): "gpu2"}
    runs = rows[["energy", "run_time", "dataset", "size"]].assign(
        run_id=rows.index.astype(str),
        is_gpu=rows["hardware"] == "gpu",
        node=["node-" + kinds[key] for key in zip(rows["hardware"], rows["idle_offset_W"], strict=True)],
    )
    found, rules = standardized(runs, nodes)
    assert counts(rules) == {}
    for ours, theirs in (("power", "power"), ("std_power", "std_power"), ("std_energy", "std_energy")):
        assert found[ours].tolist() == pytest.approx(rows[theirs].tolist(), rel=1e-6), ours
    # The overhead is a quantile over runs that are not published here: put in runs that have it.
    constants = published.published()["overhead"]
    small = pd.DataFrame(
        {
            "dataset": "505_tecator",
            "size": 1024,
            "is_gpu": [False, True],
            "std_energy": [constants["energy_j"][name] for name in ("cpu", "gpu")],
            "run_time": [constants["time_s"][name] for name in ("cpu", "gpu")],
        }
    )
    left, _ = without_overhead(pd.concat([found, small], ignore_index=True))
    left = left[: len(rows)]
    assert left["energy_overhead"].tolist() == pytest.approx(rows["energy_overhead"].tolist(), rel=1e-6)
    assert left["non_overhead_energy"].tolist() == pytest.approx(rows["non_overhead_energy"].tolist(), rel=1e-6)


def test_overhead_is_the_5_percent_quantile_of_small_runs():
    energy = np.arange(1.0, 22.0)
    frame = pd.DataFrame({"dataset": "505_tecator", "size": 1024, "is_gpu": False, "std_energy": energy})
    large = frame.assign(size=2048, std_energy=0.5)
    other = frame.assign(dataset="adult", std_energy=0.5)
    gpu = frame[:1].assign(is_gpu=True, dataset="adult")
    runs = pd.concat([frame, large, other, gpu], ignore_index=True)
    found, rules = without_overhead(runs.assign(run_time=runs["std_energy"] * 10))
    assert found["energy_overhead"].dropna().unique().tolist() == [2.0]
    assert found["runtime_overhead"].dropna().unique().tolist() == [20.0]
    assert found["non_overhead_energy"][:3].tolist() == [-1.0, 0.0, 1.0]
    assert found["non_overhead_energy"].isna().sum() == counts(rules)["no overhead"] == 1


def test_runs_on_unknown_nodes_are_named(nodes):
    runs = pd.DataFrame({"node": ["node-cpu1", "elsewhere", "odd"], "energy": 1000.0, "run_time": 10.0})
    odd = pd.DataFrame({"type": [None], "p2": [100.0]}, index=["odd"])
    found, rules = standardized(runs, pd.concat([nodes, odd]))
    assert found["std_power"].tolist() == [100.0]
    assert counts(rules) == {"unlisted node": 1, "node of unknown type": 1}


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """Generated runs without noise and faults, with the energies that the model gave them."""
    folder = tmp_path_factory.mktemp("exact")
    plan = Plan(runs=120, noise=0.0, faults=0.0, seed=3)
    generate(folder, plan)
    return folder, design(plan)[0]


def test_generated_energies_come_back(exact):
    folder, runs = exact
    frame, step = read_energies(folder)
    assert list(frame.columns) == list(STANDARDIZED.columns)
    lost = {"removed batch", "no sample", "depth 2", "listed twice"}
    assert set(counts(step.rules)) <= lost
    assert len(frame) > 100
    known = runs.set_index([runs["slurm_job_id"], runs["start_us"] * 1000])
    ours = frame.set_index(["slurm_job_id", "start_time_int"])
    true = known["std_energy"].reindex(ours.index)
    # Run times are whole microseconds; powers are whole watts of the reference node plus the type's offset.
    assert ours["std_energy"].to_numpy() == pytest.approx(true.to_numpy(), rel=1e-7)
    assert np.allclose(ours["std_power"], known["std_power"].reindex(ours.index), rtol=1e-12)
    small = (frame["dataset"] == "505_tecator") & (frame["size"] <= 1024) & frame["is_gpu"]
    assert step.numbers["overhead_energy_gpu_j"] == pytest.approx(np.quantile(frame["std_energy"][small], 0.05))
    assert (frame["num_reps"] == frame.groupby(["experiment_id", "is_gpu"])["run_id"].transform("size")).all()
    assert frame["start_offset"].min() == 0


def test_every_run_is_accounted_for(tmp_path):
    generate(tmp_path, Plan(runs=200, faults=0.3, seed=5))
    frame, step = read_energies(tmp_path)
    removing = {
        "removed batch",
        "no file",
        "no sample",
        "too few samples",
        "0 W reading",
        "filter_1",
        "filter_2",
        "filter_3",
        "unlisted node",
        "node of unknown type",
    }
    assert {"no file", "no sample", "0 W reading"} <= set(counts(step.rules))
    assert step.rows_in == len(frame) + sum(rule.count for rule in step.rules if rule.name in removing)
    assert json.loads(step.to_json())["rows_out"] == len(frame)


def test_no_run_left_says_why(tmp_path):
    folder = write_folder(tmp_path, {}, {"run_id": "other"}, logs={"8.csv": log(*SIX_SAMPLES)})
    with pytest.raises(MeasurementError, match="none of the 2 runs has an energy: no file 2"):
        energies(read_metadata(folder).frame, read_power(folder), read_nodes(folder).frame)


def test_without_the_reference_type_nothing_is_standardised(tmp_path):
    folder = write_folder(tmp_path, {"host_name": "c2"}, logs={"7.csv": log(*SIX_SAMPLES, node="c2")})
    write_nodes(folder, idle_w={"c2": 230, "g1": 374})
    write_power(folder, {"7.csv": log(*SIX_SAMPLES, node="c2")})
    with pytest.raises(MeasurementError, match="no node of the reference type cpu1 has an idle power"):
        read_energies(folder)
