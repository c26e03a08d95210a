"""One's own study: real trainings in the published schema, resumed after any end, read by every analysis."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sizer import cli
from sizer.base.errors import UsageError
from sizer.meters.protocol import NullMeter
from sizer.study.analysis.iso_loss import iso_loss, read_losses
from sizer.study.analysis.trends import trends
from sizer.study.files.power_logs import read_power
from sizer.study.files.tables import read_metadata
from sizer.study.own_runs import plan, training
from sizer.study.own_runs import run as own_runs
from sizer.study.own_runs.log import LOG_NAME, origin_of, read_log
from sizer.study.own_runs.plan import PlannedRun, design
from sizer.study.own_runs.run import Request, run_study
from sizer.study.own_runs.training import LEAST_EPOCHS, Settings, train
from sizer.study.runs.energy import integrate
from sizer.study.runs.runs import load_runs

DIMENSIONS = {"generated_regression": (16, 1), "generated_classes": (32, 8)}


#: What the plan takes a run to last here; a run ends after its least epochs, long before.
RUN_S = 20.0
SIZES = 4
BUDGET_S = 3 * SIZES * RUN_S


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Runs of the least epochs on one thread whatever the machine is doing, and no seconds of probing caches."""
    monkeypatch.setattr(plan, "RUN_S", RUN_S)
    monkeypatch.setattr(own_runs, "_ALLOTTED", (0.0, 0.0))
    monkeypatch.setattr(own_runs, "sweep_accesses", list)
    monkeypatch.setattr(own_runs, "with_effective_capacity", lambda device, times: device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def request(folder: Path, **changes) -> Request:
    """Three families of four sizes, each network once."""
    settings = {"datasets": ("generated_regression",), "depths": (2, 3, 4), "sizes": (7, 10), "budget_s": BUDGET_S}
    return Request(folder, **(settings | changes))


def test_a_study_is_read_by_every_analysis(tmp_path):
    step = run_study(request(tmp_path))
    assert step.rows_out == 3 * SIZES
    runs, rules = load_runs(tmp_path)
    assert len(runs) == step.rows_out
    assert all(rule.count == 0 for rule in rules)
    log = read_log(tmp_path).runs
    assert runs["epochs"].tolist() == [run["epochs"] for run in log]
    assert runs["run_time"].tolist() == pytest.approx([run["epochs"] * run["epoch_s"] for run in log])
    assert set(runs["h_t"]) == {13}  # ceil(0.8 x 4096 / 256)
    assert set(runs["n_observations"]) == {4096}
    assert runs["std_energy"].isna().all()  # no meter: the quantity is time, and joules are not made up
    assert (runs["time_per_datum_s"] * runs["h_t"] * 256 * runs["epochs"]).tolist() == pytest.approx(
        runs["run_time"].tolist()
    )
    points, _, _ = trends(runs)
    assert points["y_name"].iloc[0] == "time_per_epoch_s"
    origin = origin_of(tmp_path)
    assert origin.remarks[0].startswith("the quantity is time: no energy meter")
    found, _ = iso_loss(runs, read_losses(tmp_path), origin.levels)
    assert set(found.curves["unit"]) == {"s"}
    assert len(read_metadata(tmp_path).frame) == len(runs)


def test_a_study_goes_on_where_it_was_killed(tmp_path):
    step = run_study(request(tmp_path))
    path = tmp_path / LOG_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:5]) + lines[5][:100])  # killed while it wrote the fifth run
    again = run_study(request(tmp_path))
    assert again.rows_out == step.rows_out
    kept = path.read_bytes().splitlines(keepends=True)
    assert kept[:5] == lines[:5]
    runs = read_log(tmp_path).runs
    assert len({(run["depth"], run["size"], run["repetition"]) for run in runs}) == len(runs)


def test_an_interrupted_study_keeps_everything(tmp_path, monkeypatch):
    calls = iter(range(100))

    def interrupted(*arguments):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return train(*arguments)

    monkeypatch.setattr(own_runs, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_study(request(tmp_path))
    assert len(load_runs(tmp_path).frame) == 3
    monkeypatch.setattr(own_runs, "train", train)
    assert run_study(request(tmp_path)).rows_out == 3 * SIZES


def test_a_larger_budget_extends_a_study(tmp_path):
    before = run_study(request(tmp_path)).rows_out
    first = read_log(tmp_path).runs
    assert run_study(request(tmp_path)).rows_out == before  # nothing left to do
    after = run_study(request(tmp_path, budget_s=5 / 3 * BUDGET_S))
    assert after.rows_out == before + 2 * SIZES  # two of the families once more
    assert read_log(tmp_path).runs[: len(first)] == first


def test_a_study_of_other_settings_is_not_mixed_in(tmp_path):
    run_study(request(tmp_path))
    with pytest.raises(UsageError, match="is of another training; name another --folder, or start anew with --fresh"):
        run_study(request(tmp_path, training=Settings(batch_size=128)))
    step = run_study(request(tmp_path, training=Settings(batch_size=128)), fresh=True)
    assert set(load_runs(tmp_path).frame["batch_size"]) == {"128"}
    assert step.rows_out == len(read_log(tmp_path).runs)


def test_stated_power_gives_estimated_joules_that_the_power_log_adds_up_to(tmp_path):
    step = run_study(request(tmp_path, meter="power-model", watts=(65.0, 20.0)))
    assert step.numbers["energy"] == "estimated"
    assert "joules are estimated, not measured: power model: 65 W busy" in step.warnings[0]
    runs = load_runs(tmp_path).frame
    # Joules and wall time are of the same two readings of the meter, so that their ratio is the power stated.
    assert runs["power"].to_numpy() == pytest.approx(65, rel=1e-9)
    assert runs["std_energy"].to_numpy() == pytest.approx((runs["power"] * runs["run_time"]).to_numpy())
    metadata = read_metadata(tmp_path).frame
    logs = read_power(tmp_path, set(metadata["slurm_job_id"]), lambda what, share: None)
    joined, rejections = integrate(metadata, logs)
    assert sum(rule.count for rule in rejections) == 0
    assert len(joined) == len(runs) == step.rows_out
    both = joined.merge(runs[["run_id", "std_energy", "run_time"]], on="run_id", suffixes=("", "_of_frame"))
    # Start and end are written to the us, power to a millionth of a W: that far may the two be apart, however short
    # a run is.
    rounding_j = 65 * 1e-6 + 0.5e-6 * both["run_time"]
    assert ((both["energy"] - both["std_energy"]).abs() <= rounding_j * (1 + 1e-6)).all()


BEFORE = Path(__file__).parent / "data" / "before_the_move" / "study"


def test_a_log_of_before_is_read_and_gone_on_with(tmp_path, monkeypatch):
    """Written by commit 733539e, killed in its fifth run."""
    shutil.copy(BEFORE / LOG_NAME, tmp_path)
    study = read_log(tmp_path)
    assert [(run["depth"], run["size"], run["epochs"]) for run in study.runs] == [
        (3, 128, 60),
        (4, 256, 30),
        (3, 256, 36),
        (2, 128, 44),
    ]
    assert study.remarks == ("joules are estimated, not measured: power model: 65 W busy (stated by the user)",)
    assert study.levels["cpu"].names == ("L1", "L2", "L3", "RAM")
    # A study goes on on its machine alone: here, as if this were the one, with the versions that it was begun with.
    same = {"meter": "power-model", "training": vars(Settings())}
    assert study.header["same"].items() >= same.items()
    monkeypatch.setattr(own_runs, "_same", lambda *_: study.header["same"])
    grid = {"datasets": ("generated_classes",), "depths": (2, 3, 4), "sizes": (7, 8), "budget_s": 6 * RUN_S}
    step = run_study(request(tmp_path, meter="power-model", watts=(65.0, None), **grid))
    assert step.rows_out == 5
    assert read_log(tmp_path).runs[:4] == study.runs
    runs = load_runs(tmp_path).frame
    assert runs["epochs"].tolist()[:4] == [60, 30, 36, 44]
    assert runs["power"].to_numpy() == pytest.approx(65, rel=1e-3)
    assert trends(runs)[0]["y_name"].iloc[0] == "energy_per_epoch_J"


def test_a_log_killed_in_its_first_line_begins_anew(tmp_path):
    (tmp_path / LOG_NAME).write_text('{"format":"sizer.own_st')
    step = run_study(request(tmp_path))
    assert step.rows_out == len(read_log(tmp_path).runs) > 0


def test_the_plan_fills_the_budget_with_whole_families(monkeypatch):
    monkeypatch.setattr(plan, "RUN_S", 2.5)
    small, large = design(150, DIMENSIONS), design(1500, DIMENSIONS)
    assert {run.key for run in small} <= {run.key for run in large}
    families: dict[tuple, set[int]] = {}
    for run in small:
        families.setdefault(run.key[:3], set()).add(run.size)
    assert len(families) >= 3
    assert all(max(sizes) == 2**21 and len(sizes) >= 12 for sizes in families.values())
    assert 2.5 * len(large) <= 1500
    assert not {run.shape for run in large if run.depth == 2} - {"rectangle"}
    with pytest.raises(UsageError, match="too few networks to show a trend; give 1"):
        design(20, DIMENSIONS)
    with pytest.raises(UsageError, match="unknown shape 'round'"):
        design(900, DIMENSIONS, shapes=("round",))


def test_training_learns_and_counts_epochs():
    data = training.load("generated_regression")
    planned = PlannedRun("generated_regression", "rectangle", 3, 1024, (24, 24, 1), 0)
    trained = train(planned, data, Settings(learning_rate=0.01), NullMeter(), 0.0)
    assert trained.epochs == len(trained.test_losses) == LEAST_EPOCHS
    assert min(trained.test_losses) < 0.8 * trained.test_losses[0]
    assert 0 < trained.epoch_s * trained.epochs <= trained.wall_s * 1.01
    assert trained.joules is None


@pytest.mark.parametrize("name", training.NAMES)
def test_every_data_set_is_scaled_and_trains(name):
    if name not in DIMENSIONS:
        pytest.importorskip("sklearn")
    data = training.load(name)
    assert (data.features.min(), data.features.max()) == (0, 1)
    assert np.ptp(data.features, axis=0).min() > 0
    planned = PlannedRun(name, "rectangle", 2, 0, (8, data.output_dim), 0)
    assert all(math.isfinite(loss) for loss in train(planned, data, Settings(), NullMeter(), 0.0).test_losses)


def test_generated_data_stand_in_for_the_extra(monkeypatch):
    monkeypatch.setattr(training, "has_bundled", lambda: False)
    assert training.default_names() == ("generated_regression", "generated_classes")
    with pytest.raises(UsageError, match="is not installed: run `pip install 'cache-sizer\\[data\\]'`"):
        training.load("digits")
    with pytest.raises(UsageError, match="unknown data set 'mnist9'"):
        training.load("mnist9")


def test_the_commands_work_on_ones_own_study(tmp_path, capsys):
    folder, out = str(tmp_path / "own"), tmp_path / "out"
    arguments = ["--datasets", "generated_regression", "--depth", "2,3,4", "--sizes", "2^7-2^12", "--budget", "6m"]
    assert cli.run(["study", "run", "--folder", folder, *arguments, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["format"] == "sizer.study_step/1"
    for step in ("trends", "caches", "fit", "isoloss"):
        assert cli.run(["study", step, folder, "--out", str(out), "--json"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert record["rows_in"] == len(read_log(Path(folder)).runs)
        assert all(Path(path).stat().st_size > 0 for path in record["files"])
    assert (out / "isoloss_cpu.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["trends", "nowhere"], 1, "nowhere is no folder"),
        (["run", "--budget", "soon"], 2, "'soon' is no time"),
        (["run", "--sizes", "9-6"], 2, "is no range of sizes"),
        (["run", "--datasets", "mnist9"], 2, "unknown data set 'mnist9'"),
        (["run", "--budget", "9s", "--datasets", "generated_classes"], 2, "too few networks"),
        (["fit", ".", "--form", "cubic"], 2, "cubic"),
    ],
)
def test_bad_input_is_one_line(arguments, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["study", *arguments]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
