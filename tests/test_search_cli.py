"""`sizer search` as a user meets it: real files, real searches, exit codes, interruptions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

from sizer.cli import run
from sizer.size_search.saved_network import load

random = np.random.default_rng(13)
N = 240
FRAME = pd.DataFrame(
    {
        "size": np.where(np.arange(N) % 9 == 0, np.nan, random.normal(50, 9, N)),
        "city": random.choice(["Bern", "Genoa"], N),
        "name": [f"person {i}" for i in random.permutation(N)],
    }
)
FRAME["price"] = 3.0 * FRAME["size"].fillna(50) + 40 * (FRAME["city"] == "Bern") + random.normal(size=N)
FRAME["kind"] = np.where(FRAME["price"] > FRAME["price"].median(), "dear", "cheap")


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    FRAME.to_csv("a.csv", index=False)


QUICK = ("--depth", "2", "--batch-size", "32", "--learning-rate", "0.01", "--quiet")


def test_a_table_with_text_and_gaps_gives_a_network_that_predicts(capsys):
    arguments = ["search", "a.csv", "--target", "price", "--r2", "80%", *QUICK, "--save", "m.pt2", "--json"]
    assert run(arguments) == 0
    record = json.loads(capsys.readouterr().out)
    jsonschema.validate(record, json.loads(files("sizer.schemas").joinpath("search-1.json").read_text("utf-8")))
    assert record["winner"]["best_value"] >= 0.8
    assert record["preparation"]["missing"] == {"size": pytest.approx(N * 0.8 / 9, abs=12)}
    assert record["preparation"]["left_out"][0]["name"] == "name"
    predicted = load(record["saved"]).predict(pd.read_csv("a.csv"))
    assert np.corrcoef(predicted, FRAME["price"])[0, 1] > 0.85


def test_classes_and_what_the_terminal_says(capsys):
    assert run(["search", "a.csv", "--target", "kind", "--metric", "auc=0.9", *QUICK, "--details"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("Reached auc of at least 0.9: ")
    for said in ("2 classes", "FLOPs would have chosen", "missing: size ", "left out: name", "state:"):
        assert said in text


def test_not_reached_is_exit_code_1_and_one_line(capsys):
    assert run(["search", "a.csv", "--target", "price", "--r2", "0.99999", "--max-epochs", "3", *QUICK]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("Not reached: r2 of at least 0.99999; the best is 0.")
    assert captured.out.count("looks possible") <= 1
    assert "FLOPs would" not in captured.out
    assert "--details: the data" in captured.out
    lines = [line for line in captured.err.splitlines() if line.startswith("sizer: ")]
    assert len(lines) == 1
    assert "r2 0.99999 was not reached" in lines[0]
    assert "the best is 0." in lines[0]
    assert "looks possible" not in lines[0]


def test_the_best_network_is_kept_where_none_is_good_enough(capsys):
    arguments = ["search", "a.csv", "--target", "price", "--r2", "0.99999", "--max-epochs", "5", *QUICK]
    assert run([*arguments, "--save", "none.pt2"]) == 1
    assert "none.pt2 was not written; --save-best writes the best network" in " ".join(capsys.readouterr().err.split())
    assert not Path("none.pt2").exists()
    assert run([*arguments, "--save-best", "best.pt2"]) == 1
    out = capsys.readouterr().out
    assert 'network = sizer.load("best.pt2"); network.predict(table)' in out
    assert "The search had ended before and was reused; --fresh starts it anew" in " ".join(out.split())
    assert len(load(Path("best.pt2")).predict(pd.read_csv("a.csv"))) == N
    assert "On other rows of the same kind expect 0.9" in " ".join(out.split())


def test_a_search_says_what_this_call_took_beside_the_training(capsys):
    arguments = ["search", "a.csv", "--target", "price", "--r2", "0.5", *QUICK, "--json"]
    assert run(arguments) == 0
    first = json.loads(capsys.readouterr().out)["spent"]
    assert first["wall_time_s"] > first["time_s"] > 0
    assert first["epochs_before"] == 0
    assert run(arguments) == 0
    again = json.loads(capsys.readouterr().out)["spent"]
    assert again["epochs_before"] == again["epochs"] == first["epochs"]
    assert again["wall_time_s"] < first["wall_time_s"]


def test_the_value_of_the_mean_is_zero_without_rounding(capsys):
    run(["search", "a.csv", "--target", "price", "--r2", "0.5", *QUICK])
    assert "Without a network: r2 0.00." in capsys.readouterr().out


BAD = [
    (
        ["--target", "prize", "--loss", "0.3"],
        2,
        "no column 'prize'; did you mean price? The last one is 'kind'; the columns are size, city, name",
    ),
    (["--loss", "0.3"], 2, "name it with --target"),
    (["--target", "price"], 2, "say how good is good enough: --r2 0.9"),
    (["--target", "price", "--loss", "0.3", "--r2", "0.5"], 2, "2 targets are given"),
    (["--target", "name", "--accuracy", "0.5"], 1, "240 different values in 240 rows"),
    (["--target", "price", "--loss", "3"], 2, "needs no network"),
    (["--target", "price", "--accuracy", "95"], 1, "too many for classes"),
    (["--target", "kind", "--accuracy", "95"], 2, "accuracy lies from 0 to 1"),
    (["--target", "kind", "--r2", "0.5"], 1, "is no number"),
    (["--target", "price", "--metric", "f1"], 2, "expected one such as f1=0.9"),
    (["--target", "price", "--r2", "0.5", "--max-energy", "much"], 2, "no energy"),
    (["--target", "price", "--r2", "0.5", "--max-time", "soon"], 2, "no time"),
    (["--target", "price", "--r2", "0.5", "--depth", "1"], 2, "depth is 1"),
    (["--target", "price", "--r2", "0.5", "--shape", "circle"], 2, "unknown shape"),
    (["--target", "price", "--r2", "0.5", "--validation", "b.csv"], 2, "no file b.csv"),
    (["--target", "price", "--r2", "0.5", "--device", "cuda:9"], 2, "no device"),
    (["--target", "price", "--r2", "0.5", "--learning-rate", "fast"], 2, "expected one such as 0.004, or auto"),
    (["--target", "price", "--r2", "0.5", "--learning-rate", "-1"], 2, "expected a number above 0"),
    (["--target", "price", "--r2", "0.5", "--ensemble", "1"], 2, "expected a whole number from 2 to 100"),
    (["--target", "price", "--r2", "0.5", "--ensemble", "some"], 2, "expected auto, off or one from 2"),
    (["--target", "price", "--r2", "0.5", "--widths", "0"], 2, "width is 0"),
]


@pytest.mark.parametrize(("arguments", "code", "said"), BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_wrong_usage_gets_one_line(arguments, code, said, capsys):
    assert run(["search", "a.csv", *arguments]) == code
    captured = capsys.readouterr()
    assert said in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert captured.out == ""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_interrupted_search_says_how_to_go_on_and_does():
    rows = 20_000  # an epoch takes long enough to be interrupted in
    x = random.normal(size=(rows, 3))
    np.savez("big.npz", x=x, y=x.sum(axis=1) + 0.1 * random.normal(size=rows))
    arguments = ["search", "big.npz", "--loss", "0.1", *QUICK, "--folder", "state"]
    # (a shell's background job, such as a test run may be, ignores interrupts, and so do its children)
    begin = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{begin}; from sizer.cli import main; main()", *arguments]
    started = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and started.poll() is None and len(_log()) < 2:
        time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=240)
    assert started.returncode == 130, (out, err)
    assert "run the same command again" in err
    assert "Traceback" not in err
    before = _log()
    assert run([*arguments, "--max-epochs", "2"]) in (0, 1)
    assert _log()[: len(before)] == before
    assert len(_log()) > len(before)


def _log() -> list[str]:
    path = Path("state/log.jsonl")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def test_importing_sizer_loads_no_part_of_a_search():
    script = "import sizer, sys; print([name for name in sys.modules if 'searching' in name])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
