"""Slices of a training that the user gave as a function."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

from sizer.size_search.data.metrics import reached
from sizer.size_search.data.task import CustomTask, TrainedEpoch
from sizer.size_search.trials.slices import Epoch, Slice, SliceResult, read_checkpoint, write_checkpoint

#: Trial name -> epochs done and the training itself, left where its last slice ended.
Running = dict[str, tuple[int, Iterator[TrainedEpoch]]]


def run_custom(task: CustomTask, job: Slice, running: Running) -> SliceResult:
    """Run a slice of a user's training: on with the one running here, else from its state, else from the start."""
    done = 0 if job.checkpoint is None else int(read_checkpoint(job.checkpoint)["epoch"])
    training = _resumed(task, job, done, running)
    epochs: list[Epoch] = []
    state = None
    ended = "its training gave no further epoch"
    for trained in islice(training, job.epochs):
        epochs.append(_epoch(done + len(epochs) + 1, trained))
        state = trained.state
        if not math.isfinite(trained.loss):
            return SliceResult(tuple(epochs), None, f"its loss is no longer finite in epoch {epochs[-1].epoch}")
        if job.target is not None and reached(task.metric, trained.loss, job.target):
            break
    else:
        if len(epochs) < job.epochs:
            return SliceResult(tuple(epochs), None, ended)
    done += len(epochs)
    running[job.spec.name] = (done, training)
    return SliceResult(tuple(epochs), write_checkpoint({"epoch": done, "state": state}))


def _resumed(task: CustomTask, job: Slice, done: int, running: Running) -> Iterator[TrainedEpoch]:
    """The training after so many epochs. One that gives no state is trained again up to there."""
    epochs_here, training = running.pop(job.spec.name, (None, iter(())))
    if epochs_here == done:
        return training
    state = None if job.checkpoint is None else read_checkpoint(job.checkpoint)["state"]
    spec = job.spec
    left = spec.max_epochs - (0 if state is None else done)
    fresh = (_as_epoch(given) for given in task.train(spec.topology, left, spec.seed, state))
    return islice(fresh, 0 if state is not None else done, None)


def _as_epoch(given: TrainedEpoch | tuple[float, float]) -> TrainedEpoch:
    loss, cost_s, *state = given
    return TrainedEpoch(float(loss), float(cost_s), state[0] if state else None)


def _epoch(number: int, trained: TrainedEpoch) -> Epoch:
    return Epoch(number, trained.loss, trained.loss, trained.loss, trained.cost_s, trained.cost_s, None, 0)
