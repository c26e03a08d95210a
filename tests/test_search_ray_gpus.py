"""What a trial takes of a cluster's GPUs, without a cluster."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sizer.base.ray_cluster import Node
from sizer.models.topology import Topology
from sizer.size_search.trials import ray_engine
from sizer.size_search.trials.ray_engine import RayEngine, gpu_share
from sizer.size_search.trials.trial import SliceSpec

SPEC = SliceSpec("8", Topology("rectangle", 6, (8, 1)), 32, "adam", 3e-3, 0, "cuda:3", None, 1)


@pytest.mark.parametrize(
    ("parallel", "gpus", "share"),
    [
        (1, (1.0,), 1.0),
        (2, (2.0, 1.0), 1.0),
        (4, (1.0,), 0.25),
        (3, (1.0,), 0.3333),
        (3, (2.0,), 0.5),
        (1, (0.5,), 0.5),
    ],
)
def test_more_trials_than_gpus_share_them(parallel, gpus, share):
    alive = tuple(Node(str(n), f"10.0.0.{n}", 8, amount) for n, amount in enumerate(gpus))
    assert gpu_share(parallel, alive) == share
    assert ray_engine._Room(1, share).check(alive) >= parallel


def test_a_worker_trains_on_the_gpu_that_ray_shows_it(monkeypatch):
    sent = {}

    class Ray:
        def is_initialized(self):
            return True

        def put(self, task):
            return task

        def remote(self, function):
            return self

        def options(self, **options):
            sent.update(options)
            return SimpleNamespace(remote=lambda engine_id, task, job: sent.update(job=job))

    monkeypatch.setattr(ray_engine, "import_ray", Ray)
    monkeypatch.setattr(ray_engine, "nodes", lambda ray: (Node("1", "10.0.0.1", 8, 1.0),))
    engine = RayEngine(None, threads=2, device="cuda:3", parallel=2)
    engine.submit(SPEC)
    assert (engine.workers, sent["num_gpus"], sent["job"].device) == (2, 0.5, "cuda:0")
