"""What the version before the code moved (733539e) left behind is read: its searches go on, its networks predict."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sizer
from sizer.base.storage import read_objects
from sizer.size_search import request
from sizer.size_search.data.prepare import PreparingSettings, prepare
from sizer.size_search.data.sources import table_of
from sizer.size_search.saved_network import load
from sizer.size_search.settings import SearchSettings

DATA = Path(__file__).parent / "data" / "before_the_move" / "search"
#: By the names of the folders that the version chose: for threads and a meter of its own choice, and for given ones.
FINISHED, INTERRUPTED = "small-csv-3e748e93b915", "small-csv-0887649a30fe"
SETTINGS = {
    "depth": 2,
    "batch_size": 16,
    "learning_rate": 0.02,
    "optimizer": "sgd-momentum",
    "device": "cpu",
}


@pytest.fixture(autouse=True)
def left_behind(tmp_path, monkeypatch) -> Path:
    """The user's data folder as the version left it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = tmp_path / "sizer" / "searches"
    for name in (FINISHED, INTERRUPTED):
        shutil.copytree(DATA / name, folder / name)
    return folder


def search(target: float, **options: object) -> sizer.SearchResult:
    return sizer.search(str(DATA / "small.csv"), target="y", target_r2=target, **{**SETTINGS, **options})


@pytest.mark.parametrize("changed", [{}, {"threads": 2, "meter": "none"}])
def test_a_finished_search_answers_as_it_did(left_behind, changed):
    before = (left_behind / FINISHED / "log.jsonl").read_bytes()
    found, then = search(0.8, **changed), json.loads((DATA / "record.json").read_text())
    assert found.folder == left_behind / FINISHED
    assert (left_behind / FINISHED / "log.jsonl").read_bytes() == before
    now = json.loads(found.to_json())
    assert now["status"] == then["status"] == "reached"
    for name in ("trials", "winner", "best", "flops_choice", "curve", "spent"):
        for one, other in zip(_items(now[name]), _items(then[name]), strict=True):
            assert {field: one[field] for field in other} == pytest.approx(other), name
    assert found.network.predict(pd.read_csv(DATA / "small.csv")) == pytest.approx(predictions())


def _items(part: dict | list[dict]) -> list[dict]:
    """Records without what is nested in them; those parts are compared as text."""
    records = part if isinstance(part, list) else [part]
    return [
        {name: value if isinstance(value, (int, float)) else json.dumps(value) for name, value in record.items()}
        for record in records
    ]


def test_an_interrupted_search_goes_on_from_its_open_round(left_behind):
    log = left_behind / INTERRUPTED / "log.jsonl"
    before = log.read_bytes()
    assert read_objects(log)[-1] == {"event": "round", "slices": [["1072x153", 1]]}
    found = search(0.93, threads=1, meter="none", max_epochs=20)
    assert found.folder == left_behind / INTERRUPTED
    assert log.read_bytes().startswith(before)
    after = read_objects(log)[len(before.splitlines()) :]
    assert (after[0]["event"], after[0]["trial"], after[0]["epochs"][0][0]) == ("slice", "1072x153", 3)
    assert found.trials[0].name == "36x5"


def test_a_search_goes_on_with_other_threads_and_another_meter(left_behind):
    """What may change between runs of a search names no folder."""
    first = search(0.5, threads=1, meter="none")
    assert first.folder.name not in (FINISHED, INTERRUPTED)
    before = (first.folder / "log.jsonl").read_bytes()
    again = search(0.5, threads=2, max_epochs=500, parallel=2)
    assert (again.folder, again.trials) == (first.folder, first.trials)
    assert (first.folder / "log.jsonl").read_bytes() == before


def test_a_setting_names_the_folder_or_may_change(left_behind):
    task = prepare(table_of(str(DATA / "small.csv")), PreparingSettings(("y",), metric="r2")).task
    changed = {"max_time_s": 1.0, "max_energy_j": 1.0, "max_epochs": 2, "parallel": 2, "explore": True, "prune": True}
    changed |= {"meter": "none", "threads": 2, "ensemble": 3, "single": True}
    other = {"target": 0.4, "shape": "trapezoid", "depth": 3, "batch_size": 8, "optimizer": "sgd", "seed": 1}
    other |= {"learning_rate": 1.0, "device": "cpu", "priced_for": "x86-vm-2cpu", "grow": True, "widths": (8,)}
    assert changed.keys() | other.keys() == SearchSettings.__dataclass_fields__.keys()
    folder = request.default_folder(task, SearchSettings(0.3))
    for name, value in changed.items():
        assert request.default_folder(task, SearchSettings(0.3, **{name: value})) == folder, name
    for name, value in other.items():
        assert request.default_folder(task, SearchSettings(**{"target": 0.3, name: value})) != folder, name


def test_a_folder_whose_rate_was_the_default_is_refused_with_the_rate_that_goes_on(tmp_path):
    x = np.random.default_rng(0).standard_normal((60, 2))
    told = {"target_loss": 0.1, "depth": 2, "device": "cpu", "meter": "none", "folder": tmp_path / "old"}
    sizer.search((x, x[:, 0]), learning_rate=0.001, max_epochs=1, **told)
    with pytest.raises(sizer.UsageError, match=r"differs in learning_rate.*go on with it by the learning rate 0\.001"):
        sizer.search((x, x[:, 0]), **told)
    with pytest.raises(sizer.UsageError, match="differs in widths"):
        sizer.search((x, x[:, 0]), learning_rate=0.001, widths=(4, 8), **told)


def predictions() -> np.ndarray:
    """What the version's network predicted for each row."""
    return np.array(json.loads((DATA / "predictions.json").read_text()))


def test_a_saved_network_predicts_as_it_did():
    network = load(DATA / "model.pt2")
    assert network.predict(pd.read_csv(DATA / "small.csv")) == pytest.approx(predictions(), rel=1e-6)
    assert network.facts["metric"] == "r2"
