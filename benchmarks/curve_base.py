"""The base of learning curves as it is packed: benchmarks/data/curves/TASK.npz, read into runs.

    from curve_base import read_base
    for run in read_base("letter"): run.losses[:, RAW, DECIDE]

Losses are kept as whole numbers, 1024 times their binary logarithm (exact to 0.04 %), by epoch, raw and averaged
weights, on the rows to choose by, to decide by and to test with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from platformdirs import user_cache_path

BASE = Path(__file__).parent / "data" / "curves"
#: Where trainings are kept while they are recorded.
FOLDER = user_cache_path("sizer") / "curves"

RAW, AVERAGED = 0, 1
CHOOSE, DECIDE, TEST = 0, 1, 2

_SCALE = 1024
_NOT_FINITE = np.iinfo(np.int16).max
#: Predictions in one byte: of classes -20 times the logarithm of the probability, of numbers 32nds about 128.
_LOG_STEPS, _NUMBER_STEPS = 20.0, 32.0


class Run(NamedTuple):
    """One training. ``losses`` has the shape (epochs, 2, 3): raw and averaged weights; choose, decide, test.

    ``size`` is the power of two asked for; ``ended`` says why it ended: stalled, epochs, time, diverged.
    """

    task: str
    size: int
    widths: tuple[int, ...]
    num_free_parameters: int
    depth: int
    shape: str
    batch_size: int
    learning_rate: float
    seed: int
    ended: str
    losses: npt.NDArray[np.float64]


class Key(NamedTuple):
    """A training of the main grid: the power of two asked for, the learning rate, the seed."""

    size: int
    learning_rate: float
    seed: int


class TaskFacts(NamedTuple):
    """What is known of a task before training, and the loss of predicting the mean (or the classes' shares)."""

    name: str
    regression: bool
    input_dim: int
    output_dim: int
    train_rows: int
    looked_at_rows: tuple[int, int, int]
    baseline_loss: float
    origin: str


class Predictions(NamedTuple):
    """What trainings predicted for the same rows, the first half of them to choose by, the second to decide by.

    ``keys`` (N,) are the trainings; ``epochs`` (N,) epochs; ``losses`` (N, 2, 3) those on all rows, as `Run` has them;
    ``said`` has the shape (N, 2, rows, outputs): raw and averaged weights; probabilities of classes, or numbers.
    ``targets`` (rows,) alike.
    """

    keys: tuple[Key, ...]
    epochs: npt.NDArray[np.int32]
    losses: npt.NDArray[np.float64]
    said: npt.NDArray[np.float32]
    targets: npt.NDArray[np.generic]


def tasks() -> tuple[str, ...]:
    """Names of the tasks in the base."""
    return tuple(sorted(path.stem for path in BASE.glob("*.npz") if not path.stem.endswith(".predictions")))


def read_facts(task: str) -> TaskFacts:
    """What is known of a task."""
    with np.load(BASE / f"{task}.npz") as packed:
        facts = json.loads(str(packed["facts"]))
    return TaskFacts(**{**facts, "looked_at_rows": tuple(facts["looked_at_rows"])})


@cache
def read_base(task: str) -> tuple[Run, ...]:
    """Every run of a task."""
    with np.load(BASE / f"{task}.npz") as packed:
        described = json.loads(str(packed["runs"]))
        losses = _decoded(packed["losses"])
        ends = np.cumsum(packed["epochs"]).tolist()
    parts = [losses[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    return tuple(
        Run(task, **{**run, "widths": tuple(run["widths"])}, losses=part)
        for run, part in zip(described, parts, strict=True)
    )


def read_predictions(task: str) -> Predictions | None:
    """The predictions that were kept of a task, None where none were."""
    path = BASE / f"{task}.predictions.npz"
    if not path.exists():
        return None
    with np.load(path) as packed:
        kept = packed["said"].astype(np.float64)
        regression = packed["targets"].dtype.kind == "f"
        said = (kept - 128.0) / _NUMBER_STEPS if regression else np.exp(-kept / _LOG_STEPS)
        trainings = [Key(*key) for key in json.loads(str(packed["trainings"]))]
        keys = tuple(trainings[position] for position in packed["of"])
        losses = _decoded(packed["losses"])
        return Predictions(keys, packed["epochs"], losses, said.astype(np.float32), packed["targets"])


def predicted_bytes(outputs: npt.NDArray[np.float32], regression: bool) -> npt.NDArray[np.uint8]:
    """Outputs of a network in one byte each: the logarithms of probabilities, or numbers."""
    if regression:
        steps = np.nan_to_num(outputs * _NUMBER_STEPS + 128)
    else:
        shifted = outputs - outputs.max(axis=-1, keepdims=True)
        steps = -_LOG_STEPS * (shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))
        steps = np.nan_to_num(steps, nan=255.0)
    return np.clip(np.round(steps), 0, 255).astype(np.uint8)


def pack_task(task: Any, stacks: Sequence[Path], into: Path) -> None:
    """Pack what was recorded of a task (`curve_tasks.CurveTask`) into one file."""
    recorded = [found for found in map(_read_stack, stacks) if "refused" not in found]
    if not recorded:
        return
    described = [run for found in recorded for run in _runs(found)]
    facts = TaskFacts(
        name=task.name,
        regression=task.regression,
        input_dim=task.features.shape[1],
        output_dim=task.output_dim,
        train_rows=len(task.targets),
        looked_at_rows=task.counts,
        baseline_loss=round(task.baseline_loss, 6),
        origin=task.origin,
    )
    into.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        into / f"{task.name}.npz",
        facts=np.array(json.dumps(facts._asdict())),
        runs=np.array(json.dumps(described)),
        epochs=np.concatenate([found["epochs"] for found in recorded]).astype(np.int16),
        losses=_encoded(np.concatenate([found["losses"] for found in recorded])),
    )


def pack_predictions(task: Any, stacks: Sequence[Path], into: Path, kept_rows: int) -> None:
    """Pack what trainings of a task predicted, each of them once, into a file that stands by itself."""
    known: dict[Key, list[tuple[Any, ...]]] = {}
    for found in map(_read_stack, stacks):
        if "predicted" in found:
            known = _predicted(found) | known
    if not known:
        return
    of, epochs, losses, said = zip(
        *((position, *one) for position, each in enumerate(known.values()) for one in each), strict=True
    )
    rows = [*range(kept_rows), *range(task.counts[0], task.counts[0] + kept_rows)]
    np.savez_compressed(
        into / f"{task.name}.predictions.npz",
        trainings=np.array(json.dumps(list(known))),
        of=np.array(of, dtype=np.int16),
        epochs=np.array(epochs, dtype=np.int16),
        losses=_encoded(np.array(losses)),
        said=np.array(said),
        targets=task.looked_at_targets[rows].reshape(len(rows)),
    )


def _predicted(found: dict[str, Any]) -> dict[Key, list[tuple[Any, ...]]]:
    """Of each training of a stack: epochs that predictions were kept after, losses there, and the predictions."""
    runs, starts = _runs(found), np.cumsum(found["epochs"]) - found["epochs"]
    known: dict[Key, list[tuple[Any, ...]]] = {}
    for (position, epoch), outputs in zip(found["predicted"].tolist(), found["predictions"], strict=True):
        key = Key(*(runs[position][name] for name in Key._fields))
        known.setdefault(key, []).append((epoch, found["losses"][starts[position] + epoch - 1], outputs))
    return known


def _read_stack(path: Path) -> dict[str, Any]:
    with np.load(path) as stack:
        return {**{name: stack[name] for name in stack.files}, "job": json.loads(str(stack["job"]))}


def _runs(found: dict[str, Any]) -> list[dict[str, Any]]:
    """A stack's runs as plain records, but for their losses."""
    from sizer.models.topology import num_free_parameters

    job, widths = found["job"], found["widths"].tolist()
    return [
        {
            "size": 2 ** job["exponent"],
            "widths": widths,
            "num_free_parameters": num_free_parameters(found["input_dim"].item(), widths),
            "depth": job["depth"],
            "shape": job["shape"],
            "batch_size": job["batch_size"],
            "learning_rate": rate,
            "seed": seed,
            "ended": ended,
        }
        for rate, seed, ended in zip(
            found["rates"].tolist(), found["seeds"].tolist(), found["ended"].tolist(), strict=True
        )
    ]


def _encoded(losses: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Losses (epochs, 2, 3) as differences from epoch to epoch of whole logarithms, shape (2, 3, epochs)."""
    logs = np.round(_SCALE * np.log2(np.maximum(losses.astype(np.float64), 2.0**-31)))
    whole = np.where(np.isfinite(logs), np.clip(logs, -32_000, 32_000), _NOT_FINITE).astype(np.int16)
    return np.diff(whole.transpose(1, 2, 0), axis=2, prepend=np.int16(0))


def _decoded(kept: npt.NDArray[np.int16]) -> npt.NDArray[np.float64]:
    """Losses (epochs, 2, 3) from `_encoded`; sums wrap around as the differences did."""
    whole = np.cumsum(kept, axis=2, dtype=np.int16).transpose(2, 0, 1)
    return np.where(whole == _NOT_FINITE, np.inf, 2.0 ** (whole / _SCALE))
