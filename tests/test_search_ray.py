"""The engine ray on a cluster of two node processes: the local engine's results and decisions, a node killed or not."""

from __future__ import annotations

import importlib
import json
import time
from contextlib import nullcontext
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import sizer
from sizer import profiles
from sizer.base.errors import MeasurementError, UsageError
from sizer.calibration import cluster as on_cluster
from sizer.calibration.calibration import Settings
from sizer.calibration.cluster import calibrate_cluster
from sizer.calibration.record import Calibration
from sizer.method.hardware import Device
from sizer.models.topology import Topology
from sizer.size_search.data.table import CustomTask, Task
from sizer.size_search.search import run_search
from sizer.size_search.settings import SearchSettings
from sizer.size_search.trials.trial import LocalEngine, SliceSpec

pytest.importorskip("ray")
from ray_nodes import two_nodes

from sizer.base.ray_cluster import Node
from sizer.size_search.trials.ray_engine import RayEngine

pytestmark = [
    pytest.mark.framework,
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Ray's own are not ours to mend
]


@pytest.fixture(scope="module")
def cluster():
    with two_nodes() as (nodes, ray):
        yield nodes, ray


def task() -> Task:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(900, 6)).astype(np.float32)
    y = np.sin(2 * x[:, :1]) * x[:, 1:2] + np.abs(x[:, 2:3])
    y = ((y - y.mean()) / y.std()).astype(np.float32)
    return Task("waves", "regression", x[:700], y[:700], x[700:], y[700:], 1)


def spec(width: int, epochs: int = 3) -> SliceSpec:
    topology = Topology.of_first_width("rectangle", width, 3, 6, 1)
    return SliceSpec(f"{width}", topology, 32, "adam", 3e-3, seed=width, threads=1, epochs=epochs)


def losses(result) -> list[float]:
    return [epoch.validation_loss for epoch in result.epochs]


def test_slices_give_what_the_local_engine_gives_in_the_order_submitted(cluster):
    jobs = [spec(width) for width in (48, 8, 32, 16)]
    local, remote = LocalEngine(task()), RayEngine(task(), threads=1)
    try:
        assert remote.workers == 2
        for job in jobs:
            local.submit(job)
            remote.submit(job)
        for job in jobs:
            here, there = local.collect(), remote.collect()
            assert losses(there) == losses(here)
            assert there.where in ("127.0.0.2", "127.0.0.3")
            again = [replace(job, checkpoint=result.state, epochs=2) for result in (here, there)]
            assert losses(_run(LocalEngine(task()), again[0])) == losses(_run(LocalEngine(task()), again[1]))
    finally:
        remote.close()


def _run(engine, job):
    engine.submit(job)
    return engine.collect()


def test_what_a_users_training_raises_arrives_as_it_was(cluster):
    def failing(topology, epochs, seed, state):  # (inside, so that it travels whole)
        raise ValueError("this training fails")
        yield

    remote = RayEngine(CustomTask("own", failing, 6, 1, 700), threads=1)
    try:
        with pytest.raises(ValueError, match="this training fails"):
            _run(remote, spec(8, 2))
    finally:
        remote.close()


def test_a_training_whose_module_a_node_lacks_is_refused_in_one_line(cluster, tmp_path, monkeypatch):
    (tmp_path / "kept_here.py").write_text("def train(topology, epochs, seed, state):\n    yield 1.0, 1.0, None\n")
    monkeypatch.syspath_prepend(tmp_path)  # (of this process, not of the nodes)
    train = importlib.import_module("kept_here").train
    remote = RayEngine(CustomTask("own", train, 6, 1, 700), threads=1)
    try:
        with pytest.raises(MeasurementError, match=r"No module named 'kept_here'.*your own training") as raised:
            _run(remote, spec(8, 2))
    finally:
        remote.close()
    assert "\n" not in str(raised.value)


def test_more_threads_than_any_node_has_is_said_at_once(cluster):
    with pytest.raises(UsageError, match=r"no node of the cluster has 64 CPUs .*127\.0\.0\.2 with 1 CPUs"):
        RayEngine(task(), threads=64)


def test_each_kind_of_node_is_calibrated_once_and_kept_here(cluster):
    """Both node processes are of this machine: one kind."""
    record = calibrate_cluster(Settings(budget_s=25.0, threads=1, meter="none"))
    (kind,) = record.kinds
    assert kind.addresses == ("127.0.0.2", "127.0.0.3")
    profile = profiles.load(kind.calibration.name)
    assert kind.calibration.path == Path(profile.origin)
    assert profile.coefficients.source == "calibrated"
    assert profile.calibration["identity"]["threads"] == 1
    schema = json.loads(files("sizer.schemas").joinpath("cluster_calibration-1.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(record.to_json()), schema)
    fleet = sizer.recommend_fleet(input_dim=20, depth=4)
    assert fleet.cheapest.name == profile.name


def test_nodes_of_different_kinds_are_calibrated_one_after_the_other(monkeypatch):
    asked = []
    found = Calibration("calibrated-cpu", Device("cpu", "cpu", "ACME (R) One @ 3 GHz", 2, ()), {}, None, 50, None)
    profile = json.loads(files("sizer.profiles").joinpath("x86-vm-2cpu.json").read_text(encoding="utf-8"))

    def on_node(ray, node, function, *arguments):
        asked.append((function.__name__, node.address))
        return {"units": node.cpus} if function.__name__ == "_identify_here" else (found, profile)

    alive = (Node("1", "10.0.0.1", 2, 0), Node("2", "10.0.0.2", 4, 0), Node("3", "10.0.0.3", 2, 0))
    monkeypatch.setattr(on_cluster, "_on_node", on_node)
    monkeypatch.setattr(on_cluster, "nodes", lambda ray: alive)
    monkeypatch.setattr(on_cluster, "connected", lambda: nullcontext())
    record = calibrate_cluster(Settings())
    assert [kind.addresses for kind in record.kinds] == [("10.0.0.1", "10.0.0.3"), ("10.0.0.2",)]
    assert asked[3:] == [("_calibrate_here", "10.0.0.1"), ("_calibrate_here", "10.0.0.2")]
    names = [kind.calibration.name for kind in record.kinds]
    assert len(set(names)) == 2
    assert all(name.startswith("node-acme-one-3-ghz-") and name in profiles.names() for name in names)


class _KillsANode:
    """The engine, and a node that dies with a slice of the second round under way."""

    def __init__(self, engine: RayEngine, nodes) -> None:
        self._engine = engine
        self._nodes = nodes
        self._submitted = 0
        self.workers = engine.workers
        self.seen: set[str | None] = set()

    def submit(self, job: SliceSpec) -> None:
        self._engine.submit(job)
        self._submitted += 1
        if self._submitted == 4:
            time.sleep(0.3)
            self._nodes.kill(1)

    def collect(self):
        result = self._engine.collect()
        self.seen.add(result.where)
        return result

    def close(self) -> None:
        self._engine.close()


def test_a_search_makes_the_local_engines_decisions_and_outlives_a_node(cluster, tmp_path):
    nodes, ray = cluster
    settings = SearchSettings(target=0.12, depth=3, batch_size=32, learning_rate=3e-3, threads=1, parallel=2)
    here = run_search(task(), settings, tmp_path / "local", LocalEngine(task()))
    engine = _KillsANode(RayEngine(task(), threads=1), nodes)
    try:
        there = run_search(task(), settings, tmp_path / "ray", engine)
    finally:
        engine.close()
    assert there.status == here.status == "reached"
    assert there.winner.name == here.winner.name
    assert _history(there) == _history(here)
    assert engine.seen == {"127.0.0.2", "127.0.0.3"}
    deadline = time.monotonic() + 60
    while sum(node["Alive"] for node in ray.nodes()) > 1:
        assert time.monotonic() < deadline, "the killed node still counts as alive"
        time.sleep(0.5)


def _history(search) -> list[tuple[str, list[float]]]:
    return [(size.name, [epoch.validation_loss for epoch in size.epochs]) for size in search.trained]


def test_without_a_cluster_the_remedy_is_named(monkeypatch):
    import ray

    if ray.is_initialized():
        ray.shutdown()
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.2:1")
    with pytest.raises((UsageError, MeasurementError), match="ray start --head"):
        RayEngine(task(), threads=1)
