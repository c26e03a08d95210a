"""`sizer study` as a user meets it: commands, records by their schema, one line an error."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
from study_files import write_folder

from sizer.base.errors import UsageError
from sizer.cli import run
from sizer.cli.study import STEPS
from sizer.method.epochs_to_loss import relative_epochs
from sizer.study.files.tables import read_metadata, read_summaries
from sizer.study.generated.design import Plan
from sizer.study.generated.generate import best_epoch, generate, loss_curves
from sizer.study.step import Rule, Status, StudyStep


def checked(text: str) -> dict:
    """The JSON text, valid by the record's published schema."""
    data = json.loads(text)
    schema = json.loads(files("sizer.schemas").joinpath("study_step-1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(data, schema)
    return data


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    assert run(["study", "generate", str(folder), "--runs", "60", "--quiet"]) == 0
    return folder


def test_generate_read_energy(demo, tmp_path, capfd):
    assert run(["study", "read", str(demo), "--json"]) == 0
    described = checked(capfd.readouterr().out)
    assert described["rows_out"] == 5
    assert "not measured" in described["warnings"][0]
    assert run(["study", "energy", str(demo), "--out", str(tmp_path), "--json"]) == 0
    step = checked(capfd.readouterr().out)
    assert (step["format"], step["step"]) == ("sizer.study_step/1", "energy")
    assert step["rows_in"] == 61
    assert {rule["name"] for rule in step["rules"]} >= {"no file", "no sample", "0 W reading", "filter_1", "depth 2"}
    assert [path.rsplit("/", 1)[-1] for path in step["files"]] == [
        "runs.parquet",
        "runs_with_standardized_energy.csv.zip",
    ]
    assert len(pd.read_parquet(tmp_path / "runs.parquet")) == step["rows_out"]


def test_the_terminal_fits_80_columns(demo, capfd, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["study", "energy", str(demo), "--out", str(tmp_path)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("met nothing: ") for line in lines)
    assert any("removed batch" in line and "1 runs" in line for line in lines)


def test_a_table_is_filtered_on_the_command_line(demo, tmp_path, capfd):
    command = ["study", "read", str(demo), "--table", "metadata", "--columns", "size,depth", "--where", "size=32..1024"]
    assert run([*command, "--out", str(tmp_path), "--json"]) == 0
    step = checked(capfd.readouterr().out)
    assert pd.read_parquet(tmp_path / "metadata.parquet")["size"].max() <= 1024
    assert [row["column"] for row in step["table"]] == ["size", "depth"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["energy", "nowhere"], 1, "nowhere is no folder"),
        (["energy"], 2, "Missing argument 'FOLDER'"),
        (["read", ".", "--columns", "size"], 2, "name it with --table"),
        (["read", ".", "--table", "metadata", "--where", "size"], 2, "expected COLUMN=VALUE"),
        (["generate", "x", "--runs", "3"], 2, "runs is 3; expected a whole number from 20"),
        (["generate", "x", "--noise", "-1"], 2, "noise is -1.0; expected a number from 0 to 1"),
        (["trend"], 2, "no such command 'trend'; did you mean trends?"),
        (["fetch", "x", "--file", "y"], 2, "unknown file y; expected all"),
        (["fetch", "x", "--sha256", "y"], 2, "--sha256 expects NAME=HEX"),
    ],
)
def test_every_error_is_one_line(arguments, code, message, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["study", *arguments]) == code
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_damaged_input_is_one_line(tmp_path, capfd):
    folder = write_folder(tmp_path)
    (folder / "butter_e_energy.zip").write_bytes(b"PK nothing")
    assert run(["study", "energy", str(folder)]) == 1
    told = capfd.readouterr()
    assert told.err.splitlines() == [told.err.strip()]
    assert "butter_e_energy.zip is no complete zip file" in told.err
    assert not (folder / "runs.parquet").exists()


def test_help_imports_neither_pandas_nor_pyarrow():
    script = (
        "import sys; from sizer.cli import run; run(['study', '--help']); run(['study', 'energy', '--help']); "
        "print(sorted({'torch', 'pandas', 'pyarrow', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(name in done.stdout for name in STEPS)


def test_generated_files_are_reproducible(demo, tmp_path):
    generate(tmp_path, Plan(runs=60))
    pd.testing.assert_frame_equal(read_metadata(tmp_path).frame, read_metadata(demo).frame)
    assert (tmp_path / "butter_e_energy.zip").stat().st_size == (demo / "butter_e_energy.zip").stat().st_size


def test_generating_never_replaces_measurements(tmp_path):
    folder = write_folder(tmp_path)
    before = (folder / "butter_e_energy.zip").read_bytes()
    with pytest.raises(UsageError, match="was not generated; name another folder"):
        generate(folder, Plan(runs=20))
    assert (folder / "butter_e_energy.zip").read_bytes() == before


def test_generated_losses_follow_the_law(demo):
    frame = read_summaries(demo, ["num_free_parameters", "epoch", "test_loss_quantile_50"]).frame
    assert len(frame) > 10
    import numpy as np

    parameters = pd.DataFrame({"num_free_parameters": [2**5, 2**10, 2**20]})
    curves = loss_curves(parameters, -1.0, 0.0, np.random.default_rng(0))
    best = [
        epochs[np.argmin(loss)] for epochs, loss in zip(curves["epoch"], curves["test_loss_quantile_50"], strict=True)
    ]
    assert best == pytest.approx(best_epoch(parameters["num_free_parameters"].to_numpy(), -1.0), rel=0.03)
    assert best[0] / best[2] == pytest.approx(relative_epochs(2**5) / relative_epochs(2**20), rel=0.06)
    least = [loss.min() for loss in curves["test_loss_quantile_50"]]
    assert least == sorted(least, reverse=True)


def test_a_step_is_a_record():
    rule = Rule("too short", "less than a minute", 3, examples=("a", "b"))
    step = StudyStep("trends", "medians", 10, 7, (rule,), {"slope": None}, ({"x": 1, "y": None},), warnings=("few",))
    record = checked(step.with_files(["a.csv"]).to_json())
    assert record["rules"] == [
        {"name": "too short", "meaning": "less than a minute", "count": 3, "counted": "runs", "examples": ["a", "b"]}
    ]
    assert step.to_frame().to_dict("records") == [{"x": 1, "y": None}]
    assert step.remarks() == ("few",)


def test_every_status_is_explained_in_the_docs():
    text = (Path(__file__).parents[1] / "docs" / "study.md").read_text(encoding="utf-8")
    for status in Status:
        assert f"| {status} | {status.sentence} |" in text


def test_a_status_is_its_word_in_json_and_csv():
    step = StudyStep("fit", "a title", 1, 1, table=({"status": Status.NOT_IDENTIFIED},))
    assert json.loads(step.to_json())["table"] == [{"status": "not identified"}]
    assert step.to_frame().to_csv(index=False) == "status\nnot identified\n"
    assert f"{Status.ZERO}" == str(Status.ZERO) == "zero"
