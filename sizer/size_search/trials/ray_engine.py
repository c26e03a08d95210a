"""The engine that runs slices on a Ray cluster.

It decides as little as the local one: slices go out as they are submitted, results come back in that order. Ray runs a
slice again on another node when its node dies; a slice gives the same result wherever it runs, given the same threads.
GPUs of different kinds round differently: across them equal results are not promised.
"""

from __future__ import annotations

import math
import uuid
from collections import deque
from dataclasses import replace
from typing import Any, NamedTuple

from sizer.base.errors import MeasurementError, SizerError, UsageError
from sizer.base.ray_cluster import Node, connect, import_ray, nodes
from sizer.size_search.data.table import CustomTask, Task
from sizer.size_search.log import LogEntry
from sizer.size_search.trials.trial import SliceSpec, run_slice
from sizer.size_search.trials.users_training import Running

#: How often a slice is run again because its node or process died.
_RETRIES = 5
#: While a result is waited for, the cluster is asked this often, in s, whether a node could still run the slice.
_CHECK_S = 10.0


class RayEngine:
    """Runs slices on the nodes of a cluster, as many at a time as its CPUs, and GPUs where they are asked for, allow.

    ``threads`` are those of a trial, and the CPUs that Ray keeps for it; ``device`` is where a trial trains. Where more
    are to run in ``parallel`` than the cluster has GPUs, each has a share of one. Raises
    UsageError where Ray is not installed, no cluster answers, or no node of it is large enough for a trial.
    """

    def __init__(
        self,
        task: Task | CustomTask,
        threads: int | None = None,
        device: str | None = None,
        address: str | None = None,
        parallel: int = 1,
    ) -> None:
        self._ray = import_ray()
        self._queue: deque[tuple[str, Any]] = deque()
        self._connected_here = not self._ray.is_initialized()
        if self._connected_here:
            connect(self._ray, address)
        try:
            alive = nodes(self._ray)
            on_gpu = (device or "cpu").startswith("cuda")
            self._room = _Room(max(1, threads or 1), gpu_share(parallel, alive) if on_gpu else 0.0)
            self.workers = self._room.check(alive)
            self._id = uuid.uuid4().hex
            self._task = self._ray.put(task)
        except BaseException:
            self.close()
            raise

    def submit(self, spec: SliceSpec) -> None:
        """Send a slice out. Returns at once."""
        # What the local engine does without a number of threads depends on the machine; here a trial has its own.
        # Ray shows a worker its own GPU alone, which is the first there whatever its number is here.
        spec = replace(spec, threads=self._room.cpus, device="cuda:0" if self._room.gpus else spec.device)
        remote = self._ray.remote(_run_slice).options(
            num_cpus=self._room.cpus, num_gpus=self._room.gpus, max_retries=_RETRIES, name=f"sizer {spec.name}"
        )
        self._queue.append((spec.name, remote.remote(self._id, self._task, spec)))

    def collect(self) -> LogEntry:
        """Wait for the slice submitted first.

        Raises MeasurementError when it cannot be run any more: nodes died time and again, or none that is left has
        room for it.
        """
        name, reference = self._queue[0]
        while not self._ray.wait([reference], timeout=_CHECK_S)[0]:
            self._room.check(nodes(self._ray))
        self._queue.popleft()
        try:
            entry: LogEntry = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise _cause(error, self._ray.exceptions.RayError) from None
        except self._ray.exceptions.RayError as error:
            raise MeasurementError(
                f"trial {name} could not be run on the cluster: {_first_line(error)}; look at `ray status` and start "
                f"the search again, which goes on where it stopped"
            ) from None
        return entry

    def close(self) -> None:
        """Give up slices that still run, and leave the cluster."""
        for _, reference in self._queue:
            self._ray.cancel(reference, force=True)
        if self._connected_here:
            self._ray.shutdown()


def gpu_share(parallel: int, alive: tuple[Node, ...]) -> float:
    """The share of a GPU that each of so many trials has: a whole one where there are enough, else an equal part.

    Ray counts in ten-thousandths of a GPU, and a node may offer less than a whole one.
    """
    largest = max((node.gpus for node in alive), default=0.0)
    whole = min(1.0, largest) or 1.0
    available = sum(int(node.gpus / whole) for node in alive)
    return math.floor(1e4 * whole / max(1, math.ceil(parallel / max(available, 1)))) / 1e4


class _Room(NamedTuple):
    """What a trial takes of a node."""

    cpus: int
    gpus: float

    def check(self, alive: tuple[Node, ...]) -> int:
        """How many trials fit at a time. Raises UsageError when no node is large enough for one."""
        fitting = sum(min(node.cpus // self.cpus, self._on_gpus(node)) for node in alive)
        if fitting:
            return fitting
        wanted = f"{self.cpus} CPUs" + (" and a GPU" if self.gpus else "")
        there = ", ".join(f"{node.address} with {node.cpus} CPUs and {node.gpus:g} GPUs" for node in alive)
        raise UsageError(f"no node of the cluster has {wanted} for a trial (there are {there}); give fewer --threads")

    def _on_gpus(self, node: Node) -> int:
        """How many trials the node's GPUs have room for (shares such as a third do not divide it exactly)."""
        return int(node.gpus / self.gpus + 1e-6) if self.gpus else node.cpus


def _cause(error: Any, of_ray: type[BaseException]) -> BaseException:
    """What went wrong in the slice, as the local engine would have raised it.

    What a node cannot import of a slice's arguments Ray reports as an error of its own, with a traceback for a text.
    """
    cause = getattr(error, "cause", None)
    if isinstance(cause, ImportError):
        return MeasurementError(f"a node of the cluster cannot import what the trial needs ({cause}); install it there")
    if isinstance(cause, of_ray):
        return MeasurementError(
            f"a node of the cluster cannot read what the trial needs ({_first_line(cause)}); it needs cache-sizer in "
            f"this version, and what your own training function imports"
        )
    if isinstance(cause, SizerError):
        return type(cause)(str(cause))
    return cause if isinstance(cause, Exception) else MeasurementError(str(error).strip().splitlines()[-1])


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


#: In a worker: the search that it last ran a slice of, its task, and the user's trainings that it has begun.
_at_work: dict[str, tuple[Task | CustomTask, Running]] = {}


def _run_slice(engine_id: str, task: Task | CustomTask, spec: SliceSpec) -> LogEntry:
    """Run a slice in a worker process of Ray."""
    ray = import_ray()
    if engine_id not in _at_work:
        _at_work.clear()
        _at_work[engine_id] = (_writable(task), {})
    kept, running = _at_work[engine_id]
    return replace(run_slice(kept, spec, None, running), where=str(ray.util.get_node_ip_address()))


def _writable(task: Task | CustomTask) -> Task | CustomTask:
    """A copy of the arrays, which Ray hands out read-only: torch shares memory with writable ones only."""
    if isinstance(task, CustomTask):
        return task
    arrays = ("train_features", "train_targets", "validation_features", "validation_targets")
    return replace(task, **{name: getattr(task, name).copy() for name in arrays})
