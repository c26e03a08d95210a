"""A saved network predicts what the trained one does, from raw rows, in a fresh process, without any pickle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch

from sizer.base.errors import DataError, SizerError, UsageError
from sizer.models import Topology
from sizer.size_search.data.prepare import PreparingSettings, prepare
from sizer.size_search.data.table import Table
from sizer.size_search.saved_network import PreparedNetwork, SavedNetwork, load

random = np.random.default_rng(7)
N = 60
FRAME = pd.DataFrame(
    {
        "size": np.where(np.arange(N) % 6 == 0, np.nan, random.normal(50, 9, N)),
        "day": pd.date_range("2021-01-01", periods=N).to_numpy()[::-1],
        "city": random.choice(["Bern", "Genoa"], N),
        "price": random.normal(1e5, 2e4, N),
        "kind": random.choice(["flat", "house", "plot"], N),
    }
)


def trained(target: str, drop=(), shape="rectangle_residual") -> SavedNetwork:
    found = prepare(Table("t", FRAME.drop(columns=list(drop))), PreparingSettings((target,)))
    topology = Topology.of_first_width(shape, 8, 4, found.task.input_dim, found.task.output_dim)
    weights = topology.build().state_dict()
    return SavedNetwork.of_weights(found.preparation, topology, weights, {"metric": "loss"})


def by_hand(network: SavedNetwork, frame: pd.DataFrame) -> np.ndarray:
    """Numpy's preparation, the network alone, and the meaning of its outputs."""
    assert isinstance(network.module, PreparedNetwork)
    features = torch.from_numpy(network.preparation.features(frame))
    with torch.no_grad():
        outputs = network.module.network(features).double()
    target = network.preparation.target
    if target.classes:
        return outputs.softmax(dim=1).numpy()
    return (outputs * torch.tensor(target.scales) + torch.tensor(target.means)).numpy()[:, 0]


@pytest.mark.parametrize(
    ("target", "drop"),
    [("price", ()), ("kind", ()), ("price", ("city", "kind")), ("kind", ("size", "day", "price"))],
)
def test_a_network_read_back_predicts_the_same(tmp_path, target, drop):
    network = trained(target, drop)
    network.save(tmp_path / "model.pt2")
    again = load(tmp_path / "model.pt2")
    expected = by_hand(network, FRAME)
    for rows in (FRAME, FRAME.head(1), FRAME.assign(extra=1)):
        given = again.probabilities(rows) if target == "kind" else again.predict(rows)
        assert np.allclose(given, expected[: len(rows)], rtol=1e-6)
    assert len(again.predict(FRAME.head(0))) == 0
    if target == "kind":
        assert again.classes == ("flat", "house", "plot")
        assert again.predict(FRAME).tolist() == np.array(again.classes)[expected.argmax(axis=1)].tolist()
    assert again.preparation == network.preparation
    assert again.topology == network.topology


def test_a_fresh_process_predicts_from_raw_rows_and_torch_alone_from_encoded_ones(tmp_path):
    network = trained("kind")
    network.save(tmp_path / "model.pt2")
    FRAME.to_csv(tmp_path / "new.csv", index=False)
    np.save(tmp_path / "encoded.npy", network.preparation.encode(FRAME))
    script = """
import json, sys
import numpy, pandas, torch
from sizer.size_search.saved_network import load
network = load("model.pt2")
ours = network.probabilities(pandas.read_csv("new.csv", parse_dates=["day"]))
program = torch.export.load("model.pt2").module()
plain = program(torch.from_numpy(numpy.load("encoded.npy"))).numpy()
assert numpy.allclose(ours, plain)
print(json.dumps(ours.tolist()))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert np.allclose(json.loads(done.stdout), by_hand(network, FRAME), rtol=1e-6)


def test_arrays_in_arrays_again(tmp_path):
    x, y = random.normal(size=(50, 3)), random.normal(size=50)
    from sizer.size_search.data.sources import table_of

    found = prepare(table_of((x, y)), PreparingSettings())
    topology = Topology.of_first_width("rectangle", 4, 2, 3, 1)
    network = SavedNetwork.of_weights(found.preparation, topology, topology.build().state_dict(), {})
    network.save(tmp_path / "m.pt2")
    assert np.allclose(load(tmp_path / "m.pt2").predict(x), network.predict(x))


def test_what_a_network_needs_is_said():
    network = trained("price")
    with pytest.raises(DataError, match="no column 'city'"):
        network.predict(FRAME.drop(columns="city"))
    with pytest.raises(UsageError, match="predicts numbers"):
        network.probabilities(FRAME)


def test_an_archive_with_a_pickle_or_compiled_code_is_not_loaded(tmp_path, capsys):
    network = trained("price")
    network.save(tmp_path / "model.pt2")

    class Explosive:
        def __reduce__(self):
            return (print, ("unpickled",))

    torch.save(Explosive(), tmp_path / "evil.pt")
    evil = (tmp_path / "evil.pt").read_bytes()
    for name, change in {
        "inputs": lambda name, content: (name, evil if name.endswith("sample_inputs/model.pt") else content),
        "weights": lambda name, content: (name, content.replace(b'"use_pickle": false', b'"use_pickle": true')),
        "code": lambda name, content: (name.replace("extra/", "data/aotinductor/"), content),
    }.items():
        copy = tmp_path / f"{name}.pt2"
        with zipfile.ZipFile(tmp_path / "model.pt2") as source, zipfile.ZipFile(copy, "w") as target:
            for item in source.namelist():
                target.writestr(*change(item, source.read(item)))
        with pytest.raises(DataError, match="compiled code or pickled"):
            load(copy)
    assert "unpickled" not in capsys.readouterr().out


def test_files_that_are_none(tmp_path):
    with pytest.raises(UsageError, match="no file"):
        load(tmp_path / "nothing.pt2")
    (tmp_path / "text.pt2").write_text("hello", encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "zip.pt2", "w") as archive:
        archive.writestr("a/b", "c")
    network = trained("price")
    network.save(tmp_path / "model.pt2")
    (tmp_path / "short.pt2").write_bytes((tmp_path / "model.pt2").read_bytes()[:900])
    for name in ("text", "zip", "short"):
        with pytest.raises(DataError):
            load(tmp_path / f"{name}.pt2")


def test_nothing_is_left_behind_where_saving_fails(tmp_path, monkeypatch):
    network = trained("price")
    for path in (tmp_path / "model.onnx", tmp_path / "no folder" / "model.pt2"):
        with pytest.raises(UsageError):
            network.save(path)

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SizerError, match="No space left"):
        network.save(tmp_path / "model.pt2")
    assert list(tmp_path.iterdir()) == []
