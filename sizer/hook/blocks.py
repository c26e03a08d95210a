"""What was seen of a training as records, a block for each optimizer that stepped, or the reason why nothing was."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from sizer.base.errors import SizerError, UsageError
from sizer.devices import chosen_for
from sizer.inspection.counts import StepSettings
from sizer.inspection.module import inspect_step, precision, wrapper_notes
from sizer.inspection.module_record import ModuleInspection, StepRecord
from sizer.inspection.networks import Passes
from sizer.inspection.whole_step import Calls, WholeStep, inspect_whole_step
from sizer.models.reading import unwrap
from sizer.script_runs.measuring import anything_compiled
from sizer.script_runs.steps import Step, StepCall, trained_by

if TYPE_CHECKING:
    from sizer.inspection.module_record import MeasuredRecord
    from sizer.script_runs.calls import NotedCall
    from sizer.script_runs.measuring import StepClock
    from sizer.script_runs.observing import Observer


#: Processor time of child processes, s, from which they may have trained: an import of torch takes about as much.
_MAY_HAVE_TRAINED_S = 1.0


def why_nothing(observer: Observer | None) -> str:
    """What was seen where no step of a training was; one line."""
    if observer is None or "torch" not in sys.modules:
        return f"torch was not imported here{_children()}"
    if observer.graph_calls:
        return f"{why_left(observer)}{_children()}"
    if observer.steps:
        return f"an optimizer stepped, and no module that it trains was called with gradients on{_compiled()}"
    if observer.other_calls:
        return (
            f"modules were called with gradients off or everything frozen ({observer.other_calls} in all){_children()}"
        )
    return f"no module was called and no optimizer stepped in this process{_compiled()}{_children()}"


def why_left(observer: Observer) -> str:
    """Calls that build a graph, and no optimizer to step on it."""
    names = list(dict.fromkeys(call.kind for call in observer.seen.calls if call.builds_graph))
    times = f"{observer.graph_calls} time{'s' if observer.graph_calls > 1 else ''}"
    called = f"{', '.join(names[:3])} was called {times} with gradients on"
    if observer.steps:
        return f"{called}, and the optimizers that stepped train something else"
    return f"{called}, and none of torch's optimizers stepped"


def _compiled() -> str:

    return inside_compiled()


def _children() -> str:
    """What child processes may have done; not known on Windows."""
    used = os.times().children_user
    if used < _MAY_HAVE_TRAINED_S:
        return ""
    return (
        f"; child processes used {used:.0f} s and may have trained: run sizer in them (`torchrun ... -m sizer run`, or "
        f"sizer.advise in the function that trains)"
    )


def compiled_step(call: NotedCall, observer: Observer) -> torch.optim.Optimizer | None:
    """The optimizer that stepped since an earlier call though no hook was called: a compiled one changes parameters."""
    from sizer.script_runs.measuring import anything_compiled
    from sizer.script_runs.steps import trained_by

    module, seen = call.module(), observer.seen
    earlier = seen.calls[seen.started :]
    if not call.builds_graph or not any(c.module() is module and c.version != call.version for c in earlier):
        return None
    if not anything_compiled():
        return None
    own = (optimizer for optimizer in observer.optimizers if trained_by(optimizer).keys() & call.trainable)
    return next(own, None)


def measured_record(clock: StepClock) -> MeasuredRecord | None:
    """Timed steps as the record has them; None where there is none. Waits for a device that is still at them."""
    from sizer.inspection.module_record import MeasuredRecord
    from sizer.script_runs.measuring import measured

    times = clock.steps()
    if not times:
        return None
    found, by = measured(times), "device" if clock.on_device else "host"
    return MeasuredRecord(found.steps, found.time_per_step_s, found.computing_s, found.shares._asdict(), by)


class Unseen(NamedTuple):
    """An optimizer of whose step there is no record, with what is known of it all the same.

    ``flops`` are None where they were not counted; ``why`` says why there is no record.
    """

    optimizer: str
    parameters: int
    modules: tuple[str, ...]
    flops: Passes | None
    why: str


NOT_CALLED = "nothing that it trains was called as a module"


def inside_compiled() -> str:
    """What to add where a call may have been inside a function that torch.compile made."""
    if not anything_compiled():
        return ""
    return ", and what is called inside a compiled function is not seen; TORCH_COMPILE_DISABLE=1 for one run shows it"


def block(step: Step, flops_counted: bool, root: nn.Module | None) -> ModuleInspection | Unseen:
    """Inspect what an optimizer trains in a step, on the device it is on.

    ``root`` is the model that the user named, if one was: the parts are named as in it.
    """
    trained = trained_by(step.optimizer)
    own = [each for each in step.calls if each.noted.trainable & trained.keys()]
    if not own:
        return _unseen(step, flops_counted, own, NOT_CALLED + inside_compiled())
    try:
        record = _inspected(step, own, root)
    except SizerError as error:
        return _unseen(step, flops_counted, own, str(error))
    seen = Passes(step.forward_flops, step.backward_flops) if flops_counted else record.flops
    covered = {key for each in own for key in each.noted.trainable & trained.keys()}
    assert record.step is not None
    found = replace(
        record.step,
        backward_passes=_num_passes(own, step),
        optimizer_parameters=sum(parameter.numel() for parameter in trained.values()),
        covered_parameters=sum(trained[key].numel() for key in covered),
        flops_counted=flops_counted,
        own_flops=step.own_flops if flops_counted else sum(record.flops),
        others=tuple(type(other).__name__ for other in step.others),
    )
    return replace(record, flops=seen, step=found)


def _unseen(step: Step, flops_counted: bool, own: list[StepCall], why: str) -> Unseen:
    names = tuple(dict.fromkeys(type(unwrap(each.module)).__name__ for each in own))
    flops = Passes(step.forward_flops, step.backward_flops) if flops_counted else None
    return Unseen(type(step.optimizer).__name__, _num_trained(step.optimizer), names, flops, why)


def _num_passes(own: list[StepCall], step: Step) -> int:
    """Backward passes that reach what the optimizer trains."""
    return sum(any(each.in_passes[index] for each in own) for index in range(len(step.passes)))


def _num_trained(optimizer: torch.optim.Optimizer) -> int:
    return sum(parameter.numel() for parameter in trained_by(optimizer).values())


def _inspected(step: Step, own: list[StepCall], root: nn.Module | None) -> ModuleInspection:
    calls = tuple(map(_calls, own))
    first = unwrap(own[0].module)
    for each in own:
        _check_alone(unwrap(each.module))
    chosen = chosen_for(device_name(first), precision(first, calls[0].settings))
    names = {} if root is None else {id(part): name for name, part in unwrap(root).named_modules() if name}
    whole = WholeStep(calls, step.optimizer, chosen.device, chosen.coefficients, names)
    record, parts = inspect_whole_step(whole)
    if root is not None and all(part.name for part in parts):
        record = replace(record, module=type(unwrap(root)).__name__)
    notes = dict.fromkeys(note for each in own for note in wrapper_notes(each.module))
    record = replace(record, notes=(*notes, *record.notes))
    return replace(record, step=StepRecord(parts, sum(each.times for each in own), 0, 0, 0, False, 0, ()))


def _calls(each: StepCall) -> Calls:
    args, kwargs = each.noted.inputs()
    settings = StepSettings(args, kwargs, None, each.noted.autocast)
    return Calls(unwrap(each.module), settings, each.times, each.in_passes)


def prepare(module: nn.Module | None) -> None:
    """Do ahead of the training what a first step would wait for: imports, the reads, and torch's first calls.

    Without a module the reads are those of a float32 one on each kind of device in use.
    """
    import sizer.report.hook  # noqa: F401 (used inside the step)

    names = ["cpu"] if module is None else [device_name(unwrap(module))]
    if module is None and torch.cuda.is_initialized():  # type: ignore[no-untyped-call, unused-ignore]
        names.append("cuda:0")
    _prepare(*names)


@cache
def _prepare(*names: str) -> None:
    """Once in a process: a script may watch a thousand trainings."""
    for name in names:
        chosen = chosen_for(name, "float32")
    example = nn.Sequential(nn.Linear(2, 2, device="meta"), nn.ReLU(), nn.Linear(2, 2, device="meta"))
    settings = StepSettings((torch.empty(2, 2, device="meta"),), {})
    inspect_step(example, settings, "adam", None, chosen.device, chosen.coefficients)


def device_name(module: nn.Module) -> str:
    """The name of the device that a module is on."""
    device = next(module.parameters()).device
    return f"cuda:{device.index or 0}" if device.type == "cuda" else device.type


def _check_alone(module: nn.Module) -> None:
    """A layer that talks to other processes would wait for them for ever: only this one inspects."""
    alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
    if not alone and any(isinstance(part, nn.SyncBatchNorm) for part in module.modules()):
        raise UsageError("the model has SyncBatchNorm layers, which cannot be inspected inside a distributed training")
