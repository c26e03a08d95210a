"""A search's folder: a log that only grows, one JSON object a line, and the trials' checkpoints.

The first line says what is searched for and among which sizes, each further one what was decided (a round of slices) or
what a slice did. A line is written only once the checkpoint that it names lies in its place, so that a search killed at
any moment goes on from the log's last whole line.
"""

from __future__ import annotations

import errno
import hashlib
import io
import math
import operator
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from sizer.base.errors import MeasurementError, UsageError
from sizer.base.storage import JsonLines, hold_lock, read_objects, write_whole
from sizer.size_search.data.halves import is_reached, worse_of
from sizer.size_search.data.metrics import shortfall
from sizer.size_search.data.table import CustomTask, Task
from sizer.size_search.ensembles import Kept
from sizer.size_search.settings import SearchSettings

LOG_FORMAT = "sizer.search-log/1"
#: What a slice's line holds beside its epochs, by the names of `LogEntry`.
_TOLD = ("trial", "checkpoint", "ended", "where", "parent", "diverged", "why")
#: Where a slice leaves its checkpoint, in the search's folder; a log of somebody else's may name none elsewhere.
_CHECKPOINT = re.compile(r"trials/[^/\\]+/\d{1,12}\.pt")
#: A disk that is full, over its quota or broken is no fault of the command line.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


class Epoch(NamedTuple):
    """One epoch of a trial, counted from 1.

    ``weights`` says which of its weights count, ``raw`` or ``averaged``: the better on the validation rows that choose.
    ``validation_loss`` and ``metric``, the value of the task's metric, are theirs on the rows that decide, ``choosing``
    is the metric on those that chose (None where the same rows do both; see `data.halves`). ``time_s`` is what the
    epoch took, validation included; ``quiet_s`` what it takes when nothing else runs (steps at their 20th percentile).
    ``energy_j`` is its share of the slice's energy, None where that is not known.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    metric: float
    time_s: float
    quiet_s: float
    energy_j: float | None
    steps: int
    choosing: float | None = None
    weights: str = "raw"

    def meets(self, metric: str, target: float) -> bool:
        """Whether the network as it was after this epoch meets a target."""
        return is_reached(metric, self.metric, self.choosing, target)

    def shortfall(self, metric: str) -> float:
        """How far it is from any target, on the half of the rows where it is further; lower is better."""
        return worse_of(metric, self.metric, self.choosing)

    def standing(self, metric: str) -> float:
        """How good it is by the rows that choose alone; lower is better, inf where it has no metric."""
        value = self.metric if self.choosing is None else self.choosing
        return shortfall(metric, value) if math.isfinite(value) else math.inf


@dataclass(frozen=True)
class LogEntry:
    """A slice of a trial that was run.

    ``state`` is what the trial goes on from (see `write_checkpoint`), None where it cannot, and in an entry that was
    read back: there ``checkpoint`` names the file, in the search's folder, that holds it. ``kept`` is what the network
    predicted after its best epoch, None where that is not known, and in an entry that was read back. ``ended`` says in
    words why the trial cannot go on, None while it can. ``where`` names the node that ran it, None for this process,
    ``parent`` the trial that this one grew from. ``diverged``: it ended because its learning rate is too high for it.
    ``why`` says why the slice was decided on, None where that was not noted.
    """

    trial: str
    epochs: tuple[Epoch, ...]
    checkpoint: str | None
    ended: str | None = None
    where: str | None = None
    parent: str | None = None
    diverged: bool = False
    why: str | None = None
    state: bytes | None = field(default=None, compare=False, repr=False)
    kept: Kept | None = field(default=None, compare=False, repr=False)


class Planned(NamedTuple):
    """A slice that was decided on: the trial, how many epochs, and why, None where that was not noted."""

    trial: str
    epochs: int
    why: str | None = None


class Log(NamedTuple):
    """A search's log read back.

    ``open_round`` lists the slices decided last that have no result, ``ensemble`` is the average that was last found to
    meet the target, as it was noted.
    """

    header: Mapping[str, Any]
    entries: list[LogEntry]
    open_round: list[Planned]
    ensemble: Mapping[str, Any] | None = None


class SearchFolder:
    """The state of one search on disk. Use it inside `held`, so that no second process writes to it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._log = folder / "log.jsonl"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder's lock; the system lets go of it however the process ends. Raises UsageError."""
        for path in (self._log, self.path / "lock", self.path / "trials"):
            if path.is_symlink():
                raise UsageError(f"{path} is a symbolic link, which a search does not write to; name another folder")
        with self._writing():
            try:
                lock = hold_lock(self.path / "lock")
            except BlockingIOError:
                raise MeasurementError(
                    f"another search is running in {self.path}; wait for it, or name another folder"
                ) from None
        with lock:
            yield

    @property
    def exists(self) -> bool:
        """Whether the folder holds a search."""
        return self._log.exists()

    def read(self) -> Log | None:
        """The log, None where there is none yet. A line cut off by a crash is left out."""
        if not self.exists:
            return None
        try:
            lines = read_objects(self._log)
            return _as_log(lines) if lines else None
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise UsageError(
                f"{self._log} is no log of a search, or is damaged ({error}); name another folder"
            ) from None

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line and wait until it is on the disk."""
        with self._writing(), closing(JsonLines(self._log)) as lines:
            lines.append(line)

    def keep(self, entry: LogEntry, before: str | None) -> None:
        """Write a slice's checkpoint and then its line; ``before`` is the checkpoint that it replaces."""
        if entry.checkpoint is not None and entry.state is not None:
            with self._writing():
                write_whole(self.path / entry.checkpoint, entry.state)
        told = {name: getattr(entry, name) for name in _TOLD}
        self.append({"event": "slice", **told, "epochs": [list(epoch) for epoch in entry.epochs]})
        if before is not None and before != entry.checkpoint:
            (self.path / before).unlink(missing_ok=True)

    def checkpoint(self, name: str | None) -> bytes | None:
        """A checkpoint's content. Raises UsageError when it is gone."""
        if name is None:
            return None
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise UsageError(
                f"the search in {self.path} cannot go on: {name} cannot be read ({error.strerror}); name another folder"
            ) from None

    def forget(self) -> None:
        """Remove the search, and nothing else in the folder. Raises MeasurementError while one runs there."""
        if self.exists:
            with self.held():
                self._log.unlink()
                shutil.rmtree(self.path / "trials", ignore_errors=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kind = MeasurementError if error.errno in _FULL else UsageError
            raise kind(
                f"the search's folder {self.path} cannot be written ({error.strerror}); make room or name another "
                f"folder, and run the same command again: it goes on where it stopped"
            ) from None


def _as_log(lines: list[dict[str, Any]]) -> Log:
    header, *rest = lines
    names = _named(header)
    log = Log(header, [], [])
    for line in rest:
        event = line.pop("event")
        if event == "round":
            log.open_round[:] = [Planned(name, operator.index(epochs), *why) for name, epochs, *why in line["slices"]]
        elif event == "ensemble":
            log = log._replace(ensemble=line)
        else:
            entry = _as_entry(line)
            log.entries.append(entry)
            log.open_round[:] = [planned for planned in log.open_round if planned.trial != entry.trial]
    trials = [*(entry.trial for entry in log.entries), *(planned.trial for planned in log.open_round)]
    if others := set(trials) - names:
        raise ValueError(f"its first line does not list {min(others)[:80]}")
    return log


def _named(header: Mapping[str, Any]) -> set[str]:
    """The names of the sizes of a log's first line. Raises ValueError, TypeError or KeyError where it is none."""
    if header.get("format") != LOG_FORMAT:
        raise ValueError(f"its first line is not of the format {LOG_FORMAT}")
    texts = [header[name] for name in ("task", "device", "quantity", "first")]
    if not all(isinstance(text, str) for text in texts) or not isinstance(header["settings"], dict):
        raise TypeError("its first line does not say what is searched for")
    return {_name_of(size) for size in header["candidates"]}


def _name_of(size: Mapping[str, Any]) -> str:
    """The name of a size of a log's first line; versions before noted less of it."""
    costs = [size["epoch_cost"], size["flops_per_epoch"]]
    numbers = costs + [size.get(name, 1.0) for name in ("relative_cost", "learning_rate", "multiple")]
    is_size = isinstance(size["name"], str) and all(type(width) is int for width in size["widths"])
    is_anchored = size["anchor"] is None or list(map(type, size["anchor"])) == [str, str, float]
    if not (is_size and is_anchored and all(type(each) in (int, float) for each in numbers)):
        raise TypeError(f"no size: {str(size)[:80]}")
    return str(size["name"])


def _as_entry(line: Mapping[str, Any]) -> LogEntry:
    """A slice's line read back; versions before noted less."""
    told = {name: line[name] for name in _TOLD if name in line}
    texts = [told.get(name) for name in ("checkpoint", "ended", "where", "parent")]
    if not isinstance(told["trial"], str) or not all(isinstance(text, str | None) for text in texts):
        raise TypeError(f"no slice of a trial: {str(told)[:80]}")
    if texts[0] is not None and (not _CHECKPOINT.fullmatch(texts[0]) or ".." in texts[0]):
        raise ValueError(f"a checkpoint elsewhere: {texts[0][:80]}")
    return LogEntry(**told, epochs=tuple(map(_as_epoch, line["epochs"])))


def _as_epoch(values: list[Any]) -> Epoch:
    """An epoch as it was noted. Raises TypeError for what is none."""
    epoch = Epoch(*values)
    counts, numbers = (epoch.epoch, epoch.steps), (*epoch[1:6], epoch.energy_j, epoch.choosing)
    if not all(type(each) is int for each in counts) or not isinstance(epoch.weights, str):
        raise TypeError(f"no epoch: {str(values)[:80]}")
    if not all(each is None or type(each) in (int, float) for each in numbers) or None in epoch[1:6]:
        raise TypeError(f"no epoch: {str(values)[:80]}")
    return epoch


def check_same(header: Mapping[str, Any], settings: SearchSettings, fingerprint: str, folder: Path) -> None:
    """Raise UsageError when a folder holds a search for something else."""
    kept = {"widths": [], **header["settings"]}  # (versions before did not pin any)
    other = [name for name, value in settings.identity.items() if kept.get(name, value) != value]
    if header["task"] != fingerprint:
        other.append("data")
    if other:
        go_on = "" if other != ["learning_rate"] else f", or go on with it by the learning rate {kept['learning_rate']}"
        raise UsageError(
            f"{folder} holds another search (it differs in {', '.join(other)}); name another folder, or remove that "
            f"one{go_on}"
        )


def fingerprint(task: Task | CustomTask) -> str:
    """What tells one task's data from another's."""
    digest = hashlib.sha256(f"{task.name} {task.metric} {task.input_dim} {task.output_dim}".encode())
    if isinstance(task, Task):
        for array in (task.train_features, task.train_targets, task.validation_features, task.validation_targets):
            digest.update(array.tobytes())
    return digest.hexdigest()


def write_checkpoint(state: dict[str, Any]) -> bytes:
    """A dictionary of tensors, numbers and text, nested as one likes, as bytes."""
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def read_checkpoint(checkpoint: bytes, device: str = "cpu") -> dict[str, Any]:
    """The tensors and numbers of a checkpoint. Raises UsageError for bytes that are none."""
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(checkpoint), map_location=device, weights_only=True)
    except Exception as error:
        raise UsageError("a checkpoint of the search is damaged; remove the search's folder and start again") from error
    return state
