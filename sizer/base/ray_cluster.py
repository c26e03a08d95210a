"""The Ray cluster that trials and calibrations run on: connecting to it, and what its nodes are.

Ray (the extra ``cache-sizer[ray]``) does the scheduling; nothing here starts or stops nodes of it. Its usage statistics
are switched off.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sizer.base.errors import MeasurementError, UsageError

_CONNECT_S = 10.0


class Node(NamedTuple):
    """A node that is alive: Ray's identifier, its address, and the CPUs and (shares of) GPUs it may give away there."""

    id: str
    address: str
    cpus: int
    gpus: float


def import_ray() -> Any:
    """The ray package. Raises UsageError, with the remedy, where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # What Ray is about to do by itself, and warns of until then: leave CUDA_VISIBLE_DEVICES alone without a GPU.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "3")  # of 20 s each, to reach a cluster that does not answer
    try:
        import ray
    except ImportError:
        raise UsageError("the engine ray needs the ray package: pip install 'cache-sizer[ray]'") from None
    return ray


@contextmanager
def connected(address: str | None = None) -> Iterator[Any]:
    """The ray package, connected to a cluster that runs; left connected if it was before.

    ``address`` None is that of RAY_ADDRESS, else of the cluster that a node on this machine belongs to. Raises
    UsageError where there is none.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    connect(ray, address)
    try:
        yield ray
    finally:
        ray.shutdown()


def connect(ray: Any, address: str | None) -> None:
    """Connect to a cluster that runs. Raises UsageError where there is none."""
    wanted = address or os.environ.get("RAY_ADDRESS") or "auto"
    try:
        _answers(wanted)
        ray.init(address=wanted, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        first_sentence = (str(error).strip().splitlines() or [""])[0].partition(". ")[0]
        reason = first_sentence or type(error).__name__
        raise UsageError(
            f"no Ray cluster answers at {wanted!r} ({reason}); start one with `ray start --head` and further "
            f"nodes with `ray start --address=HOST:PORT`, or set RAY_ADDRESS"
        ) from None


def _answers(address: str) -> None:
    """Raises OSError, at once, where nothing listens at HOST:PORT; Ray itself would go on trying for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and "/" not in address and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()


def nodes(ray: Any) -> tuple[Node, ...]:
    """Nodes that are alive, by address. Raises MeasurementError when there is none."""
    alive = [
        Node(
            found["NodeID"],
            found["NodeManagerAddress"],
            int(found["Resources"].get("CPU", 0)),
            float(found["Resources"].get("GPU", 0)),
        )
        for found in ray.nodes()
        if found["Alive"]
    ]
    if not alive:
        raise MeasurementError("the Ray cluster has no node left; start one with `ray start`")
    return tuple(sorted(alive, key=lambda node: (node.address, node.id)))
