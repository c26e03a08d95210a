"""A search's folder: a log that only grows, one JSON object a line, and the trials' checkpoints.

The first line says what is searched for and among which sizes, each further one what was decided (a round of slices) or
what a slice did. A line is written only once the checkpoint that it names lies in its place, so that a search killed at
any moment goes on from the log's last whole line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sizer.base.errors import MeasurementError, UsageError
from sizer.base.storage import JsonLines, hold_lock, read_objects, write_whole
from sizer.size_search.data.task import CustomTask, Task
from sizer.size_search.trials.slices import Epoch, SliceResult

LOG_FORMAT = "sizer.search-log/1"
_LOG = "log.jsonl"
_LOCK = "lock"
#: Settings that may change when a search is taken up again: how long it may go on and what it does in the end.
_MAY_CHANGE = {"max_time_s", "max_energy_j", "max_epochs", "parallel", "explore", "prune", "meter", "threads"}


@dataclass(frozen=True)
class Finished:
    """A slice that the log holds: its trial, its epochs, and the file of the checkpoint after it."""

    trial: str
    epochs: tuple[Epoch, ...]
    checkpoint: str | None
    ended: str | None
    where: str | None
    parent: str | None


@dataclass(frozen=True)
class Log:
    """A search's log read back. ``open_round`` lists the slices (trial, epochs) decided last that have no result."""

    header: Mapping[str, Any]
    finished: tuple[Finished, ...]
    open_round: tuple[tuple[str, int], ...]


class SearchFolder:
    """The state of one search on disk. Use it inside `held`, so that no second process writes to it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder's lock; the system lets go of it however the process ends. Raises UsageError."""
        try:
            lock = hold_lock(self.path / _LOCK)
        except BlockingIOError:
            raise MeasurementError(
                f"another search is running in {self.path}; wait for it, or name another folder"
            ) from None
        except OSError as error:
            raise _cannot_write(self.path, error) from None
        with lock:
            yield

    def read(self) -> Log | None:
        """The log, None where there is none yet. A line cut off by a crash is left out."""
        path = self.path / _LOG
        if not path.exists():
            return None
        try:
            entries = read_objects(path)
            return _as_log(entries) if entries else None
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} is no log of a search, or is damaged ({error}); name another folder") from None

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add a line and wait until it is on the disk."""
        try:
            with closing(JsonLines(self.path / _LOG)) as lines:
                lines.append(entry)
        except OSError as error:
            raise _cannot_write(self.path, error) from None

    def keep(self, trial: str, result: SliceResult, before: str | None, parent: str | None) -> Finished:
        """Write a slice's checkpoint and then its line; ``before`` is the checkpoint that it replaces."""
        last = result.epochs[-1].epoch if result.epochs else 0
        name = None if result.checkpoint is None else f"trials/{trial}/{last:06d}.pt"
        if name is not None and result.checkpoint is not None:
            try:
                write_whole(self.path / name, result.checkpoint)
            except OSError as error:
                raise _cannot_write(self.path, error) from None
        done = Finished(trial, result.epochs, name, result.ended, result.where, parent)
        epochs = [[*epoch] for epoch in result.epochs]
        self.append({"event": "slice", **_plain(done), "epochs": epochs})
        if before is not None and before != name:
            (self.path / before).unlink(missing_ok=True)
        return done

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


def check_same(header: Mapping[str, Any], settings: Mapping[str, Any], fingerprint: str, folder: Path) -> None:
    """Raise UsageError when a folder holds a search for something else."""
    other = [
        name
        for name, value in settings.items()
        if name not in _MAY_CHANGE and header["settings"].get(name, value) != value
    ]
    if header["task"] != fingerprint:
        other.append("data")
    if other:
        raise UsageError(
            f"{folder} holds another search (it differs in {', '.join(other)}); name another folder, or remove that one"
        )


def fingerprint(task: Task | CustomTask) -> str:
    """What tells one task's data from another's."""
    digest = hashlib.sha256(f"{task.name} {task.metric} {task.input_dim} {task.output_dim}".encode())
    if isinstance(task, Task):
        for array in (task.train_features, task.train_targets, task.validation_features, task.validation_targets):
            digest.update(array.tobytes())
    return digest.hexdigest()


def _as_log(entries: list[dict[str, Any]]) -> Log:
    header, *rest = entries
    if header.get("format") != LOG_FORMAT:
        raise ValueError(f"its first line is not of the format {LOG_FORMAT}")
    finished: list[Finished] = []
    open_round: list[tuple[str, int]] = []
    for entry in rest:
        if entry["event"] == "round":
            open_round = [(name, int(epochs)) for name, epochs in entry["slices"]]
            continue
        epochs = tuple(Epoch(*epoch) for epoch in entry["epochs"])
        entry.pop("event")
        finished.append(Finished(**{**entry, "epochs": epochs}))
        open_round = [item for item in open_round if item[0] != entry["trial"]]
    return Log(header, tuple(finished), tuple(open_round))


def _plain(done: Finished) -> dict[str, Any]:
    return {name: getattr(done, name) for name in ("trial", "checkpoint", "ended", "where", "parent")}


def _cannot_write(folder: Path, error: OSError) -> UsageError:
    return UsageError(
        f"the search's folder {folder} cannot be written ({error.strerror}); make room or name another folder, and run "
        f"the same command again: it goes on where it stopped"
    )
