"""sizer: a cache-aware sizing advisor for PyTorch networks.

A request in, one frozen record out: `detect`, `recommend`, `inspect`. Importing this package loads neither torch nor
pandas nor numpy; each function imports what it needs when it is called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from sizer._version import __version__
from sizer.base.errors import (
    DataError,
    MachineError,
    MeasurementError,
    MeterError,
    ProfileError,
    SizerError,
    UnreachableError,
    UsageError,
    named_arguments,
)
from sizer.base.records import show_with

Loaded = TypeVar("Loaded")

if TYPE_CHECKING:
    import torch
    from typing_extensions import Unpack

    from sizer import integrations as integrations
    from sizer import models as models
    from sizer import profiles as profiles
    from sizer.calibration.record import Calibration
    from sizer.calibration.validation_record import SizeErrors, ValidatedNetwork, Validation
    from sizer.families.record import FamilyPoint, FamilyRecommendation, FamilySize
    from sizer.families.request import FamilyOptions
    from sizer.fleet.comparison import Comparison
    from sizer.fleet.fleet import Fleet, NodeChoice
    from sizer.hook.watching import Watch
    from sizer.inspection.module_record import Advice, LayerRecord, ModuleInspection, OperatorsRecord
    from sizer.inspection.networks import InspectedNetwork, Inspection
    from sizer.meters.choosing import MeterOptions
    from sizer.method.coefficients import Coefficients
    from sizer.method.hardware import Device, Level, Machine
    from sizer.method.recommendation import Anchor, Candidate, CurvePoint, OneShot, Recommendation
    from sizer.method.request import FleetOptions, RecommendOptions, Request
    from sizer.models.topology import Topology
    from sizer.operators.calibration_record import OperatorCalibration
    from sizer.size_search.data.table import TrainedEpoch, Trainer
    from sizer.size_search.result import Pruned, SearchPoint, SearchResult, SearchTrial
    from sizer.size_search.saved_network import SavedNetwork
    from sizer.size_search.settings import SearchOptions
    from sizer.tuning.record import TunedLever, Tuning

__all__ = [
    "Advice",
    "Anchor",
    "Calibration",
    "Candidate",
    "Coefficients",
    "Comparison",
    "CurvePoint",
    "DataError",
    "Device",
    "FamilyPoint",
    "FamilyRecommendation",
    "FamilySize",
    "Fleet",
    "InspectedNetwork",
    "Inspection",
    "LayerRecord",
    "Level",
    "Machine",
    "MachineError",
    "MeasurementError",
    "MeterError",
    "MeterOptions",
    "ModuleInspection",
    "NodeChoice",
    "OneShot",
    "OperatorCalibration",
    "OperatorsRecord",
    "ProfileError",
    "Pruned",
    "Recommendation",
    "Request",
    "SavedNetwork",
    "SearchPoint",
    "SearchResult",
    "SearchTrial",
    "SizeErrors",
    "SizerError",
    "Topology",
    "TrainedEpoch",
    "Trainer",
    "TunedLever",
    "Tuning",
    "UnreachableError",
    "UsageError",
    "ValidatedNetwork",
    "Validation",
    "Watch",
    "__version__",
    "advise",
    "calibrate",
    "calibrate_operators",
    "detect",
    "inspect",
    "load",
    "recommend",
    "recommend_fleet",
    "search",
    "tune",
    "validate",
    "watch",
]

# In a checkout `models` and `profiles` lie beside this folder; installed, they are in it.
if not (Path(__file__).parent / "models").is_dir():
    __path__.append(str(Path(__file__).parents[1]))

#: Module -> the public records in it, imported when one is first asked for.
_RECORDS = {
    "sizer.calibration.record": ("Calibration",),
    "sizer.calibration.validation_record": ("SizeErrors", "ValidatedNetwork", "Validation"),
    "sizer.families.record": ("FamilyPoint", "FamilyRecommendation", "FamilySize"),
    "sizer.fleet.comparison": ("Comparison",),
    "sizer.fleet.fleet": ("Fleet", "NodeChoice"),
    "sizer.hook.watching": ("Watch",),
    "sizer.inspection.module_record": ("Advice", "LayerRecord", "ModuleInspection", "OperatorsRecord"),
    "sizer.inspection.networks": ("InspectedNetwork", "Inspection"),
    "sizer.meters.choosing": ("MeterOptions",),
    "sizer.method.coefficients": ("Coefficients",),
    "sizer.method.hardware": ("Device", "Level", "Machine"),
    "sizer.method.recommendation": ("Anchor", "Candidate", "CurvePoint", "OneShot", "Recommendation"),
    "sizer.method.request": ("Request",),
    "sizer.models.topology": ("Topology",),
    "sizer.operators.calibration_record": ("OperatorCalibration",),
    "sizer.size_search.data.table": ("TrainedEpoch", "Trainer"),
    "sizer.size_search.result": ("Pruned", "SearchPoint", "SearchResult", "SearchTrial"),
    "sizer.size_search.saved_network": ("SavedNetwork",),
    "sizer.tuning.record": ("TunedLever", "Tuning"),
}
_SUBPACKAGES = ("integrations", "models", "profiles")


def _reports() -> Any:
    from sizer.report import terminal

    return terminal


def _pages() -> Any:
    from sizer.report.pages import page

    return page


show_with(_reports, _pages)


if not TYPE_CHECKING:  # (to type checkers, a module with this function has every name)

    def __getattr__(name: str) -> Any:
        """The public subpackages and records, imported when they are first asked for."""
        import importlib

        if name in _SUBPACKAGES:
            return importlib.import_module(f"sizer.{name}")
        for module, names in _RECORDS.items():
            if name in names:
                return globals().setdefault(name, getattr(importlib.import_module(module), name))
        raise AttributeError(f"module 'sizer' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What there is, whether it was imported or not."""
    return sorted({*globals(), *__all__, *_SUBPACKAGES})


@named_arguments
def detect(sysroot: str | Path | None = None, fresh: bool = False) -> Machine:
    """Detect this machine's memory hierarchy, or that of a captured one under ``sysroot`` (its /proc and /sys).

    The answer is kept in the user's cache folder; ``fresh`` reads the hardware again. Raises MachineError for a sysroot
    that cannot be read.
    """
    from sizer.detection.detect import detect as detect_machine

    return detect_machine(sysroot, fresh)


@overload
def recommend(*, input_dim: int, kind: str | None = None, **options: Unpack[RecommendOptions]) -> Recommendation: ...


@overload
def recommend(
    *, data: Any, target: str | Sequence[str] = (), kind: str | None = None, **options: Unpack[RecommendOptions]
) -> Recommendation: ...


@overload
def recommend(make: Callable[..., torch.nn.Module], **options: Unpack[FamilyOptions]) -> FamilyRecommendation: ...


@named_arguments
def recommend(
    make: Callable[..., torch.nn.Module] | None = None,
    *,
    input_dim: int | None = None,
    data: Any = None,
    target: str | Sequence[str] = (),
    kind: str | None = None,
    **options: Any,
) -> Recommendation | FamilyRecommendation:
    """Recommend network sizes for a machine: those whose working sets fill a cache once to twice.

    ``input_dim`` is the number of features, or ``data`` what they, the outputs and the rows are read from: all that
    `search` takes, with ``target`` naming its column(s). ``kind`` says what the targets are where the data leaves that
    open, or there is none: ``"regression"`` or ``"classification"``. The options are those of `Request`. ``depth`` (4),
    ``batch_size`` (256) and ``shape`` (``"rectangle"``, or ``"all"``) take one value or several; ``width_multiple`` a
    number, ``"auto"`` (the device's vector width) or ``"device"`` (that on a GPU, else 1); the others are
    ``output_dim``, ``dtype``, ``optimizer``, ``observations``, ``device``, ``levels``, ``top``, ``purpose``,
    ``max_bytes``, ``max_time`` (s), ``max_energy`` (J). Sizes are ordered by the expected cost of reaching a loss, each
    at the rate that suits it (``learning_rate`` pins it, ``averaged`` whether weights are averaged). ``difficulty``
    (``"easy"``, ``"medium"``, ``"hard"``), or ``pilots``, each (size, loss) or (size, loss, epochs) and of two sizes or
    more, with ``target_loss``, say how hard the loss is to reach; ``law="paper"`` orders by the paper's equation 10
    alone. A candidate's ``build()``, ``optimizer(model)`` and ``average(model)`` give it ready to train. Raises
    UsageError for a value out of range and UnreachableError when no network fits.

    Or sizes of a family of any architecture: ``make(width)`` builds a module, ``widths`` (``"32-1024"``, a range, a
    list, or a mapping of two parameters of ``make``; ``vary`` names them otherwise) are traced, about six of them are
    timed within ``budget_s`` (30), and the others predicted. ``example_input`` is a tensor, a tuple or a dictionary of
    them (meta tensors will do), or a function of the varied values; ``loss`` and ``optimizer`` are as in `inspect`, an
    optimizer also a function of parameters. ``rank_by`` is ``"loss"`` (equation 10) or ``"time"``. Raises
    MeasurementError when another process measures.

    >>> found = recommend(input_dim=784, depth=6, device="nvidia-h200", levels=["L2"], law="paper")
    >>> found.best.widths, found.best.anchor.level
    ((768, 768, 768, 768, 768, 1), 'L2')
    """
    from dataclasses import replace

    from sizer.devices import choose_for
    from sizer.method.advisor import recommend as recommend_for

    if make is not None:
        from sizer.families.asking import recommend_in_python

        stated = {"input_dim": input_dim, "data": data, "target": target, "kind": kind}
        return recommend_in_python(make, [name for name, value in stated.items() if value], **options)
    request, remarks = _request("recommend", data, target, kind, input_dim, options)
    chosen = choose_for(request)
    found = recommend_for(request, chosen.device, chosen.coefficients)
    return replace(found, notes=(*remarks, *found.notes))


@overload
def recommend_fleet(
    fleet: str | Sequence[str] = "all", *, input_dim: int, kind: str | None = None, **options: Unpack[FleetOptions]
) -> Fleet: ...


@overload
def recommend_fleet(
    fleet: str | Sequence[str] = "all",
    *,
    data: Any,
    target: str | Sequence[str] = (),
    kind: str | None = None,
    **options: Unpack[FleetOptions],
) -> Fleet: ...


@named_arguments
def recommend_fleet(
    fleet: str | Sequence[str] = "all",
    *,
    input_dim: int | None = None,
    data: Any = None,
    target: str | Sequence[str] = (),
    kind: str | None = None,
    **options: Any,
) -> Fleet:
    """Say which kind of node of a fleet, and which size on it, reaches a loss at the least cost.

    ``fleet`` names profiles; ``"all"`` stands for every calibrated one. The other arguments are those of `recommend`,
    ``device`` left out. Raises UsageError for a fleet whose costs cannot be compared.
    """
    from dataclasses import replace

    from sizer.fleet.fleet import recommend_fleet as recommend_for
    from sizer.fleet.nodes import fleet_nodes

    request, remarks = _request("recommend_fleet", data, target, kind, input_dim, options)
    found = recommend_for(request, fleet_nodes((fleet,) if isinstance(fleet, str) else fleet, request.dtype))
    return replace(found, notes=(*remarks, *found.notes))


def _request(
    function: str, data: Any, target: Any, kind: str | None, input_dim: int | None, options: Any
) -> tuple[Request, tuple[str, ...]]:
    """A request whose sizes are stated, or read from data; and what there is to say of the data."""
    from dataclasses import replace

    from sizer.method.request import OPTIONS, check_known, check_sized, request_of

    check_known(function, options, OPTIONS[function])
    check_sized(data, target, input_dim, options)
    if data is None:
        return replace(request_of(input_dim or 0, **options), kind=kind), ()
    from sizer.size_search.data.described import shape_of

    shape = shape_of(data, target, kind)
    request = request_of(shape.input_dim, **{"observations": shape.rows, **options, "output_dim": shape.output_dim})
    return replace(request, data=shape.name, target=shape.target, kind=shape.kind), shape.remarks


@overload
def inspect(
    networks: str | Topology | Sequence[str | Topology],
    *,
    batch_size: int | None = None,
    optimizer: str | None = None,
    dtype: str | None = None,
    observations: int | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> Inspection: ...


@overload
def inspect(
    networks: torch.nn.Module,
    example_input: Any = None,
    optimizer: torch.optim.Optimizer | str | None = None,
    loss: Any = None,
    *,
    batch_size: int | None = None,
    dtype: str | None = None,
    observations: int | None = None,
    device: str | None = None,
    measure_missing_s: float | None = None,
) -> ModuleInspection: ...


@named_arguments
def inspect(
    networks: Any,
    example_input: Any = None,
    optimizer: Any = None,
    loss: Any = None,
    *,
    batch_size: int | None = None,
    dtype: str | None = None,
    observations: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    measure_missing_s: float | None = None,
) -> Inspection | ModuleInspection:
    """Working sets, operations and predicted cost of a step of networks, or of any PyTorch module.

    Networks are topologies or text such as ``"784-512-512-10"``. A module takes an ``example_input`` (a tensor, a tuple
    of them, a dictionary of keyword arguments; meta tensors will do) or a batch size, which is enough where its first
    layer is a Linear; it is neither run nor allocated. ``optimizer`` is a name or one of torch's optimizers, ``loss`` a
    name (``"mse"``, ``"cross_entropy"``), a loss module or a function of the output; without it the backward pass
    starts from the output. ``dtype="mixed"`` inspects the module under autocast in bfloat16. Defaults: batch 256,
    float32 (a module's own type), Adam. Raises UsageError for a value out of range or a module that cannot be
    inspected. ``threads`` are those that PyTorch will have (None: its default; a module is priced for torch's own).
    ``measure_missing_s`` times the operators of a module that were never timed here, for so many seconds at most.

    >>> inspect("784-512-10", device="nvidia-h200").networks[0].num_free_parameters
    407050
    """
    from sizer.inspection.networks import choose_for, inspect_topologies, parse_mlp
    from sizer.method.request import check_training
    from sizer.models.topology import check_whole

    if isinstance(example_input, int):
        example_input, batch_size = None, example_input
    if _is_module(networks):
        from sizer.inspection.module import inspect_module

        given = example_input, batch_size, optimizer, loss, dtype, observations, device
        return inspect_module(networks, *given, measure_missing_s)
    if measure_missing_s is not None:
        raise UsageError("measure_missing_s times a module's operators; expected a module, not widths")
    named = [networks] if isinstance(networks, str) or not isinstance(networks, Sequence) else networks
    topologies = [parse_mlp(network) if isinstance(network, str) else network for network in named]
    settings = 256 if batch_size is None else batch_size, dtype or "float32", optimizer or "adam", observations
    if threads is not None:
        check_whole("threads", threads, 1, 65_536)
    training = check_training(*settings)
    chosen = choose_for(topologies, training, device, threads)
    return inspect_topologies(topologies, training, chosen.device, chosen.coefficients)


@named_arguments
def advise(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    *,
    json_file: str | Path | None = None,
    quiet: bool = False,
) -> None:
    """Advise on a model once, on standard error, when its first training step shows how it is called.

    Nothing of the training changes, and nothing stays behind. ``json_file`` also writes the record; ``quiet`` prints
    nothing. The environment variable ``SIZER=off`` makes this do nothing. What goes wrong is one warning line: nothing
    is raised but UsageError for a keyword that it does not have.
    """
    from sizer.hook.watching import advise_once

    advise_once(model, optimizer, json_file, quiet)


@named_arguments
def watch(*, json_file: str | Path | None = None, quiet: bool = False) -> Watch:
    """Advise on whatever trains inside ``with sizer.watch():``, once, as `advise` does."""
    from sizer.hook.watching import Watch

    return Watch(json_file=json_file, quiet=quiet)


@named_arguments
def tune(
    step: Callable[[], object] | str | Path,
    arguments: Sequence[str] = (),
    *,
    budget_s: float = 180.0,
    steps: int | None = None,
    in_place: bool = False,
    device: str = "cpu",
) -> Tuning:
    """Say which levers make a training cheaper, each proven in runs that had no say in choosing it.

    ``step`` is a script's path, with its ``arguments``: it runs again and again in processes of their own, in a copy of
    the current folder unless ``in_place``, ``steps`` of its optimizer a run. Or ``step`` is a function that makes one
    step of a training each time it is called, on ``device``: then only levers are tried that can be taken out again
    (threads, subnormal numbers, precision), and the training goes on under them. Both take about ``budget_s`` seconds.
    Raises UsageError and MeasurementError.
    """
    from pathlib import Path

    if isinstance(step, (str, Path)):
        from sizer.tuning.tuning import tune_script

        return tune_script(str(step), tuple(arguments), steps=steps, budget_s=budget_s, in_place=in_place)
    from sizer.tuning.in_process import tune_step

    return tune_step(step, budget_s, device)


def _is_module(value: Any) -> bool:
    torch_module = sys.modules.get("torch")  # a module can only be there if torch is
    return torch_module is not None and isinstance(value, torch_module.nn.Module)


@named_arguments
def calibrate(
    *,
    device: str = "cpu",
    budget_s: float = 60.0,
    threads: int | None = None,
    meter: str = "auto",
    meter_options: MeterOptions | None = None,
    fresh: bool = False,
) -> Calibration:
    """Time short trainings on this machine for about ``budget_s`` seconds, fit what they cost, and keep the profile.

    `recommend` and `inspect` use the profile by themselves. ``threads`` are PyTorch's (None: its default), ``meter`` an
    energy meter or ``"auto"``, ``meter_options`` what it must be told (a log, stated power); ``fresh`` starts
    anew instead of going on where an interrupted calibration stopped. Raises UsageError for a budget too small to fit,
    MeterError for a meter that does not measure and MeasurementError when another calibration runs.
    """
    from sizer.calibration import calibration
    from sizer.meters.choosing import MeterOptions

    options = MeterOptions() if meter_options is None else meter_options
    settings = calibration.Settings(device, budget_s, threads, meter, meter_options=options)
    return calibration.calibrate(settings, fresh)


@named_arguments
def calibrate_operators(
    *, budget_s: float = 120.0, threads: int | None = None, fresh: bool = False
) -> OperatorCalibration:
    """Time calls of PyTorch's operators on this machine's CPU for about ``budget_s`` seconds, and keep their times.

    `inspect` and the hook price any module with them. What is known is added to, unless ``fresh``. Raises UsageError
    for a budget too small, and MeasurementError when another calibration runs.
    """
    from sizer.inspection import operator_calibration

    return operator_calibration.calibrate_operators(budget_s, threads, fresh)


@named_arguments
def validate(
    *,
    device: str = "cpu",
    budget_s: float = 30.0,
    networks: int | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> Validation:
    """Time fresh random networks that the calibration of this machine never saw, and compare with what it predicts.

    About ``budget_s`` seconds, or so many ``networks`` however long that takes; another ``seed`` draws others. Raises
    ProfileError when there is no calibration that holds for this machine and these ``threads``, and MeasurementError
    when another process measures.
    """
    from sizer.calibration import validation
    from sizer.calibration.session import Settings

    return validation.validate(Settings(device, budget_s, threads, seed=seed), networks)


@named_arguments
def search(
    train: Any,
    validation: Any = None,
    *,
    target_loss: float | None = None,
    target_accuracy: float | None = None,
    target_r2: float | None = None,
    target_metric: tuple[str, float] | None = None,
    target: str | Sequence[str] = (),
    kind: str | None = None,
    validation_share: float = 0.2,
    input_dim: int | None = None,
    output_dim: int = 1,
    observations: int | None = None,
    folder: str | Path | None = None,
    fresh: bool = False,
    engine: str = "local",
    save: str | Path | None = None,
    save_best: bool = False,
    decimal: str | None = None,
    missing: str | Sequence[str] = (),
    progress: Callable[[str, float | None], None] | None = None,
    **settings: Unpack[SearchOptions],
) -> SearchResult:
    """Search for the cheapest network that reaches a loss, or another metric, on your data; train it, and hand it back.

    ``train`` and ``validation`` are pairs (X, y) of arrays or DataFrames, DataFrames with ``target`` naming their
    column(s), torch Datasets of pairs, names of files, ``"sklearn:digits"`` or ``"pmlb:NAME"``; without ``validation``
    a share is set aside. Or ``train`` is a function that trains (see `sizer.Trainer`), with
    ``input_dim``, ``output_dim`` and ``observations`` (and, as ``validation``, the targets of the rows that it
    predicts, if it says what it predicts). One of the targets is needed; ``target_metric`` is a pair such
    as ``("f1", 0.9)``. ``settings`` are those of `sizer.size_search.settings.SearchSettings`, such as ``depth``,
    ``batch_size``, ``seed``, ``max_time_s``. The state is kept in ``folder`` (None: one for this data and settings), so
    that the same call goes on where it was interrupted. ``save`` writes the network that met the target, with
    ``save_best`` the best one where none did; `SearchResult.save` does so afterwards. ``decimal`` ("." or ",") and
    ``missing`` (cells such as "-200") say how cells of text are read where the cells leave that open. Raises UsageError
    for a request that makes no sense of the data, DataError for data with nothing to learn from.
    """
    from dataclasses import replace

    from sizer.method.request import several
    from sizer.size_search import request as asking
    from sizer.size_search.data.reading.rules import ReadingOptions

    aim = asking.one_aim(target_loss, target_accuracy, target_r2, target_metric)
    request = asking.make_request(aim, target, kind, validation_share, folder, fresh, engine, save, settings)
    request = replace(request, reading=ReadingOptions(decimal, several(missing)), save_best=save_best)
    if callable(train) and not hasattr(train, "__getitem__"):
        task = asking.custom_task(train, aim, input_dim, output_dim, observations, validation, kind)
        return asking.search_custom(task, request, progress)
    return asking.search_data(train, validation, request, progress)


@overload
def load(path: str | Path) -> Any: ...


@overload
def load(path: str | Path, kind: type[Loaded]) -> Loaded: ...


@named_arguments
def load(path: str | Path, kind: type[Any] | None = None) -> Any:
    """What a file holds that sizer wrote: a record saved as JSON, or the network of a search, ready to predict.

    The record is of its class again, the network with how it prepares its data. ``kind`` is the class that is wanted,
    such as ``sizer.SavedNetwork`` or ``sizer.Recommendation``: type checkers then know it. Raises UsageError for a file
    that is not there, DataError for one that holds neither, something else than is wanted, or pickled objects.
    """
    from sizer.report.pages.saved import holds_json, read_record

    if holds_json(path):
        found: Any = read_record(path)
    else:
        from sizer.size_search.saved_network import load as load_network

        found = load_network(path)
    if kind is not None and not isinstance(found, kind):
        raise DataError(f"{path} holds {type(found).__name__}, not {kind.__name__}")
    return found
