"""From what a user asks for to a record: read, prepare, search, sum up, save."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sizer.base.errors import UsageError, one_of
from sizer.base.progress import Progress
from sizer.base.storage import data_folder
from sizer.devices import choose
from sizer.meters.choosing import MeterOptions, about_gpu, choose_meter
from sizer.meters.protocol import UNKNOWN, Meter
from sizer.method.request import MAX_OBSERVATIONS, check_known, several
from sizer.models.topology import MAX_WIDTH, check_whole
from sizer.size_search.conclusion import conclude, so_far
from sizer.size_search.data.halves import Validation
from sizer.size_search.data.metrics import CLASSIFICATION, LOSS, REGRESSION, check_target, reached
from sizer.size_search.data.prepare import Prepared, PreparingSettings, prepare
from sizer.size_search.data.reading.rules import Reading, ReadingOptions
from sizer.size_search.data.sources import table_of
from sizer.size_search.data.table import CustomTask, Task, Trainer
from sizer.size_search.log import SearchFolder, fingerprint
from sizer.size_search.result import SearchResult
from sizer.size_search.search import run_search, where_to_train
from sizer.size_search.settings import SearchOptions, SearchSettings
from sizer.size_search.trials.trial import Engine, LocalEngine

ENGINES = ("local", "ray")
#: Settings that may change, but whose values were once part of the folder's name; their defaults still are.
_ONCE_NAMED = ("meter", "threads")


#: What stands for the learning rate of a training that has its own.
_USUAL_RATE = 1e-3
#: Keywords of `sizer.search` beside its settings.
ARGUMENTS = (
    *("target_loss", "target_accuracy", "target_r2", "target_metric", "target", "kind", "validation_share"),
    *("input_dim", "output_dim", "observations", "folder", "fresh", "engine", "save", "save_best", "decimal"),
    *("missing", "progress"),
)


class Aim(NamedTuple):
    """What is to be reached: a metric and its value."""

    metric: str
    value: float


def one_aim(loss: float | None, accuracy: float | None, r2: float | None, metric: tuple[str, float] | None) -> Aim:
    """The one target that was given. Raises UsageError for none or several."""
    named = ((LOSS, loss), ("accuracy", accuracy), ("r2", r2), metric or ("", None))
    given = [Aim(name, value) for name, value in named if value is not None]
    if not given:
        raise UsageError(
            "say how good is good enough: --r2 0.9, --accuracy 95%, --loss 0.25 or --metric f1=0.9 (in Python "
            "target_r2=0.9, target_accuracy, target_loss, target_metric)"
        )
    if len(given) > 1:
        raise UsageError(f"{len(given)} targets are given ({', '.join(aim.metric for aim in given)}); give one of them")
    return given[0]


@dataclass(frozen=True)
class Request:
    """A search as it was asked for: how to prepare the data, how to search, where to keep the state.

    ``folder`` None is one below the user's data folder, named for the data and the settings, so that the same request
    goes on where it was interrupted. ``fresh`` forgets what the folder holds. ``engine`` is ``local`` or ``ray``, with
    the cluster's ``address`` (None: the one that runs here); it trains as many sizes at a time as it has room for.
    ``reading`` is what the user says of how cells of text are to be read. ``watch`` is called after each slice with
    what makes the record of the search so far. ``save_best`` saves the best network where none met the target.
    """

    preparing: PreparingSettings
    settings: SearchSettings
    folder: Path | None = None
    fresh: bool = False
    engine: str = "local"
    save: Path | None = None
    address: str | None = None
    meter_options: MeterOptions = field(default_factory=MeterOptions)
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    watch: Callable[[Callable[[], SearchResult]], None] | None = None
    save_best: bool = False


def make_request(
    aim: Aim,
    target: str | Sequence[str],
    kind: str | None,
    validation_share: float,
    folder: str | Path | None,
    fresh: bool,
    engine: str,
    save: str | Path | None,
    settings: SearchOptions,
) -> Request:
    """A request from the arguments of `sizer.search`. Raises UsageError for a value out of range."""
    check_known("search", settings, (*ARGUMENTS, *SearchOptions.__annotations__))
    return Request(
        PreparingSettings(several(target), kind, aim.metric, validation_share, settings.get("seed", 0)),
        SearchSettings(target=aim.value, **settings),
        None if folder is None else Path(folder),
        fresh,
        engine,
        None if save is None else Path(save),
    )


def custom_task(
    train: Trainer,
    aim: Aim,
    input_dim: int | None,
    output_dim: int,
    observations: int | None,
    validation: Any = None,
    kind: str | None = None,
) -> CustomTask:
    """A task that only the user's function knows. Raises UsageError for what it needs beside the function.

    ``validation`` are the targets of the rows that it predicts, None where it does not say what it predicts.
    """
    if input_dim is None or observations is None:
        raise UsageError("a function that trains needs input_dim and observations (the rows it trains on) beside it")
    if aim.metric != LOSS:
        raise UsageError("a function that trains yields a loss: give target_loss")
    check_whole("input_dim", input_dim, 1, MAX_WIDTH)
    check_whole("output_dim", output_dim, 1, MAX_WIDTH)
    check_whole("observations", observations, 1, MAX_OBSERVATIONS)
    name, takes_rate = getattr(train, "__name__", "function"), "learning_rate" in inspect.signature(train).parameters
    answers = None if validation is None else _answers(validation, kind, output_dim)
    return CustomTask(name, train, input_dim, output_dim, observations, takes_rate=takes_rate, validation=answers)


def _answers(targets: Any, kind: str | None, output_dim: int) -> Validation:
    """Targets as predictions are held against them: classes (n,), or numbers (n, output_dim). Raises UsageError."""
    array = np.asarray(targets)
    if kind is None:
        kind = CLASSIFICATION if array.dtype.kind in "iu" and output_dim > 1 else REGRESSION
    if kind == CLASSIFICATION and array.ndim == 1 and array.dtype.kind in "iu" and array.min() >= 0:
        return Validation(kind, array.astype(np.int64), output_dim)
    if kind == REGRESSION and array.size == len(array) * output_dim and array.dtype.kind in "iuf":
        return Validation(kind, array.reshape(len(array), output_dim).astype(np.float32), output_dim)
    raise UsageError(
        f"validation beside a function that trains are the targets of the rows that it predicts: {len(array)} numbers "
        f"of classes from 0, or rows of {output_dim} numbers; this is an array {array.shape} of {array.dtype}"
    )


def search_data(data: Any, validation: Any, request: Request, progress: Progress | None = None) -> SearchResult:
    """Search with data: whatever `sources.table_of` takes, and the same for the validation part or None.

    Raises UsageError for a request that makes no sense of this data, DataError for data with nothing to learn from.
    """
    began = time.perf_counter()
    if request.save is not None:
        from sizer.size_search.saved_network import check_path

        check_path(request.save)
    table = table_of(data, Reading(request.reading, request.preparing.target))
    aside = None if validation is None else table_of(validation, Reading(request.reading, rules=table.rules))
    prepared = prepare(table, request.preparing, aside)
    _check_aim(prepared.task, request.settings.target)
    return _search(prepared.task, prepared, request, progress, began)


def search_custom(task: CustomTask, request: Request, progress: Progress | None = None) -> SearchResult:
    """Search with the user's own training. Raises UsageError for what only works with data."""
    if request.save is not None or request.settings.prune:
        raise UsageError("save and prune need the network's weights, which a training function keeps to itself")
    if not task.takes_rate and request.settings.pinned_rate is None:
        request = replace(request, settings=replace(request.settings, learning_rate=_USUAL_RATE))
    return _search(task, None, request, progress, time.perf_counter())


def _check_aim(task: Task, target: float) -> None:
    check_target(task.metric, task.kind, target)
    if reached(task.metric, task.baseline_value, target):
        what = "mean of the targets" if task.kind == REGRESSION else "frequencies of the classes"
        raise UsageError(
            f"the target {task.metric} {target:g} needs no network: predicting the {what} already has "
            f"{task.baseline_value:.4g}; ask for better than that"
        )


def _search(
    task: Task | CustomTask, prepared: Prepared | None, request: Request, progress: Progress | None, began: float
) -> SearchResult:
    settings = request.settings
    where = where_to_train(task, settings)
    chosen = where if settings.priced_for is None else choose(settings.priced_for, threads=settings.threads)
    meter = choose_meter(settings.meter, where.device.id, about_gpu(request.meter_options, where.device))
    if settings.max_energy_j is not None and meter.label == UNKNOWN:
        raise UsageError(
            f"max_energy limits the joules that a meter reads, and there is none here ({meter.source}); limit the "
            f"time instead, or state the power with --busy-watts"
        )
    with _folder(task, request) as folder, _engine(request, task, meter, where.device.id) as engine:
        if request.fresh:
            SearchFolder(folder).forget()
        if settings.parallel == 1 and engine.workers > 1:
            settings = replace(settings, parallel=engine.workers)
        watch, before = request.watch, SearchFolder(folder).read()
        told = None if watch is None else lambda found: watch(lambda: so_far(found, prepared, chosen, meter.label))
        search = run_search(task, settings, folder, engine, progress, told)
        result = conclude(search, prepared, engine, chosen, meter.label, request.save_best)
    trained_before = 0 if before is None else sum(len(entry.epochs) for entry in before.entries)
    wall_time_s = time.perf_counter() - began
    result = replace(result, spent=result.spent._replace(wall_time_s=wall_time_s, epochs_before=trained_before))
    if isinstance(task, CustomTask) and request.folder is None:
        result = replace(result, folder=None)
    return result if request.save is None else _saved(result, request.save)


@contextmanager
def _engine(request: Request, task: Task | CustomTask, meter: Meter, device: str) -> Iterator[Engine]:
    if request.engine not in ENGINES:
        raise UsageError(f"unknown engine {request.engine!r}; {one_of(request.engine, ENGINES)}")
    engine: Engine
    if request.engine == "local":
        engine = LocalEngine(task, None if meter.label == UNKNOWN else meter)
    else:
        from sizer.size_search.trials.ray_engine import RayEngine

        engine = RayEngine(task, request.settings.threads, device, request.address, request.settings.parallel)
    try:
        yield engine
    finally:
        engine.close()
        meter.close()


@contextmanager
def _folder(task: Task | CustomTask, request: Request) -> Iterator[Path]:
    """The search's folder. A user's own training cannot be told from another: it has a folder only if one is named."""
    if request.folder is not None:
        yield request.folder
    elif isinstance(task, CustomTask):
        with tempfile.TemporaryDirectory(prefix="sizer-search-") as name:
            yield Path(name)
    else:
        yield default_folder(task, request.settings)


def default_folder(task: Task, settings: SearchSettings) -> Path:
    """The folder of a search below the user's data folder, the same for the same data and identity of the settings.

    Threads and meter once named it too: where there is no other, a folder with these in its name is taken up.
    """
    defaults = SearchSettings(settings.target)
    digested = settings.identity | {name: getattr(defaults, name) for name in _ONCE_NAMED}
    if not settings.widths:
        del digested["widths"]  # (folders had their names before widths could be pinned)
    folder = _named_for(task, digested)
    before = _named_for(task, digested | {name: getattr(settings, name) for name in _ONCE_NAMED})
    return before if SearchFolder(before).exists and not SearchFolder(folder).exists else folder


def _named_for(task: Task, settings: dict[str, Any]) -> Path:
    digest = hashlib.sha256(f"{fingerprint(task)} {json.dumps(settings, sort_keys=True)}".encode()).hexdigest()[:12]
    name = re.sub(r"[^A-Za-z0-9]+", "-", task.name).strip("-")[:40]
    return data_folder() / "searches" / f"{name}-{digest}"


def _saved(result: SearchResult, path: Path) -> SearchResult:
    """The result with its network written to a file; as it is where the target was not met."""
    if result.network is None:
        told = f"the target was not met: {path} was not written; --save-best writes the best network"
        return replace(result, notes=(*result.notes, told))
    result.network.save(path)
    return replace(result, saved=path)
